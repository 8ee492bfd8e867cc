// SPDX-License-Identifier: GPL-3.0-or-later
// What all the programs share: building the library's objects, reading its flags, starting its services.
#pragma once
#include "mesos.hpp"
#include <cstdlib>
#include <cstring>
#include <utility>

using OptionalString = Option<String>;
enum { INFO, WARNING, ERROR };
#define LOG(severity) google::LogMessage("main.cpp", __LINE__, severity).stream()

constexpr Duration seconds(int64_t n) { return Duration{n * 1000000000}; }
constexpr Duration FOREVER = seconds(-1);  // libprocess' own convention for "no limit"

[[noreturn]] void die(const String& reason);

// Builds a T whose size is unknown here: in zeroed storage larger than any class of the library, never freed.
template <class T, class... A>
T* make(A&&... arguments) {
  T* object = new (calloc(1, 1 << 16)) T(std::forward<A>(arguments)...);
  // The optimiser must not know the dynamic type: a cast to a virtual base has to go through the library's vtable.
  asm volatile("" : "+r"(object) : : "memory");
  return object;
}

template <class T>
T ok(Try<T> result, const String& what) {
  if (result.isError()) die(what + ": " + result.error());
  return result.get();
}

// A Flags object of the library and its fields by the flag's name.
class FlagSet {
 public:
  template <class F> explicit FlagSet(F* flags) : object(reinterpret_cast<char*>(flags)), base(flags) {}

  // T must be the field's exact type. Its place comes from the library: the loader stored with each flag is a
  // closure whose only capture is the pointer-to-member, and that is the field's offset.
  template <class T> T& get(const char* name) const {
    auto found = base->flags_.find(name);
    if (found == base->flags_.end()) die(String("the library has no flag ") + name);
    size_t offset;
    memcpy(&offset, &found->second.load, sizeof offset);
    return *reinterpret_cast<T*>(object + offset);
  }
  bool isSet(const char* name) const { return get<OptionalString>(name).isSome(); }
  bool has(const char* name) const { return base->flags_.count(name) > 0; }
  // For a field of a type that is only passed on: {} when unset.
  template <class T> const T* unknown(const char* name) const {
    struct Any { char first alignas(8); };
    auto& option = get<Option<Any>>(name);
    return option.isSome() ? reinterpret_cast<const T*>(&option.value) : nullptr;
  }
  String usage(const String& program) const;

  flags::FlagsBase* operator->() const { return base; }

 private:
  char* object;
  flags::FlagsBase* base;
};

// Parses argv and MESOS_*; answers --help and --version; ends the program with the reason on an error.
// Starts logging, and hands libprocess its settings.
void startup(const FlagSet&, int argc, char** argv, const char* program);

// Libprocess, /version, modules, hooks: what master and agent start before anything of their own.
void startServices(const FlagSet&, const String& delegate, const String& realm);

Option<mesos::Authorizer*> createAuthorizer(const FlagSet&, const char* flag);

// The text of --zk or --master; a file:// value has been read by the parser already.
OptionalString masterUrl(const FlagSet&, const char* flag);

[[noreturn]] void run(process::ProcessBase*);

int masterMain(int argc, char** argv);
int agentMain(int argc, char** argv);
int containerizerMain(int argc, char** argv);
int ioSwitchboardMain(int argc, char** argv);
int logMain(int argc, char** argv);
int resolveMain(int argc, char** argv);
