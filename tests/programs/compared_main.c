int use_calls(int);
int outside(int x) { return x + 1; }
int main(int count, char **arguments) { return use_calls(count); }
