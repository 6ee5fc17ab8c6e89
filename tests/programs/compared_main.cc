int use_catch(int);
int main(int count, char **) { return use_catch(count); }
