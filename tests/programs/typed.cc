// Functions whose arguments are of many types; EDIT is what an edit changes in each.
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
namespace shop {
struct Base { virtual ~Base() {} virtual int id() const { return 1; } long weight : 20; long size : 44; };
struct Item : Base { std::string name; union { int cents; float price; }; Item *next = nullptr; int id() const override { return 2; } };
enum class Mood { good, bad };
std::map<std::string, std::vector<Item>> stock;
std::string text(const std::string &a, std::string_view b) { return a + std::string(b) + "x" + std::to_string(EDIT); }
long many(const std::vector<std::map<std::string, int>> &all) { return (long)all.size() + EDIT; }
long call(std::function<int(const Item &)> f, Item *item) { return f(*item) + EDIT; }
long held(std::shared_ptr<Item> a, std::unique_ptr<Base> b, std::optional<long> c) { return a->id() + b->id() + c.value_or(EDIT); }
long either(std::variant<int, std::string, Mood> v, std::tuple<int, double, char> t) { return (long)v.index() + std::get<0>(t) + EDIT; }
long hashed(std::unordered_map<int, std::set<long>> &m, std::chrono::milliseconds d) { return (long)m.size() + d.count() + EDIT; }
std::ostream &print(std::ostream &out, std::thread::id id) { return out << id << EDIT; }
long put(Item item, Mood mood) { stock[item.name].push_back(item); return (long)mood + EDIT; }
}
