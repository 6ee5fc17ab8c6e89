/* The one function that changed: every third order is half price. */
int count_order(void);
int price_of(int item);
int add_tax(int cents);

int checkout(int item) {
  int number = count_order();
  int cents = add_tax(price_of(item));
  return number % 3 == 0 ? cents / 2 : cents;
}
