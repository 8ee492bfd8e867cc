// SPDX-License-Identifier: GPL-3.0-or-later
// Prints "owner name type" for every flag, from the symbol name of the loader that each flag carries.
#include "launcher.hpp"
#include <cstdio>
#include <cxxabi.h>
#include <dlfcn.h>

extern "C" { long _Py_NoneStruct[8]; void *PyExc_Exception, *PyExc_TypeError; }

static void replaceAll(String& text, const String& from, const String& to) {
  for (size_t at; (at = text.find(from)) != String::npos;) text.replace(at, from.size(), to);
}

// The loader is FlagsBase::add<Flags, T, ...>(T Flags::*field, ...)::{lambda}, or with Option<T> Flags::*field.
static String typeOf(const flags::Flag& flag) {
  void* words[4];  // a std::function: two words of captures, a manager, an invoker
  memcpy(words, &flag.load, sizeof words);
  Dl_info info;
  if (!dladdr(words[2], &info) || !info.dli_sname) return "?";
  int status;
  char* demangled = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  if (status) return "?";
  String text = demangled;
  free(demangled);
  replaceAll(text, "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "string");
  replaceAll(text, " >", ">");
  const size_t field = text.find("::*");
  if (field == String::npos) return "?";
  size_t start = text.rfind('(', field) + 1;
  text = text.substr(start, field - start);      // "T Flags"
  return text.substr(0, text.rfind(' '));
}

template <class F>
static void print(const char* owner) {
  flags::FlagsBase* base = make<F>();
  for (auto& [name, flag] : base->flags_) printf("%s %s %s\n", owner, name.c_str(), typeOf(flag).c_str());
}

int main() {
  print<mesos::internal::master::Flags>("master");
  print<mesos::internal::slave::Flags>("agent");
  print<mesos::internal::slave::IOSwitchboardServer::Flags>("switchboard");
}
