/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The interface of OpenSSL 1.0.0 that the library was linked with, on top of the system's OpenSSL 3.
 *
 * Every entry point jumps through a slot, and its first call fills the slot. The library only passes OpenSSL's objects
 * around by pointer, so most functions are OpenSSL 3's own; moved[] lists the others. The list of entry points
 * (ssl_names.h) and their symbol versions are made by the build from what the library asks for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("hidden"))) void *mesos_ssl_slots[COUNT];
static const char *const names[COUNT] = {
#define SSL_SHIM(i, n) #n,
#include "ssl_names.h"
#undef SSL_SHIM
};

/* Initialisation and locking are OpenSSL 3's own business now. */
static long zero(void) { return 0; }
static long one(void) { return 1; }

static const struct { const char *name, *renamed; void *function; } moved[] = {
    {"SSL_library_init", 0, one},
    {"SSL_load_error_strings", 0, zero},
    {"OPENSSL_add_all_algorithms_noconf", 0, zero},
    {"CRYPTO_num_locks", 0, one},
    {"CRYPTO_set_id_callback", 0, zero},
    {"CRYPTO_set_locking_callback", 0, zero},
    {"CRYPTO_set_dynlock_create_callback", 0, zero},
    {"CRYPTO_set_dynlock_lock_callback", 0, zero},
    {"CRYPTO_set_dynlock_destroy_callback", 0, zero},
    {"CRYPTO_free", 0, free},
    {"SSLv23_method", "TLS_method", 0},
    {"SSL_state", "SSL_get_state", 0},
    {"SSL_get_peer_certificate", "SSL_get1_peer_certificate", 0},
    {"ASN1_STRING_data", "ASN1_STRING_get0_data", 0},
    {"sk_num", "OPENSSL_sk_num", 0},
    {"sk_value", "OPENSSL_sk_value", 0},
    {"sk_push", "OPENSSL_sk_push", 0},
    {"sk_new_null", "OPENSSL_sk_new_null", 0},
    {"sk_pop_free", "OPENSSL_sk_pop_free", 0},
};

__attribute__((visibility("hidden"), used)) void *mesos_ssl_resolve(long i) {
  static void *ssl, *crypto;
  const char *name = names[i];
  void *function = 0;
  for (size_t k = 0; k < sizeof moved / sizeof *moved; k++)
    if (!strcmp(moved[k].name, name)) {
      function = moved[k].function;
      if (moved[k].renamed) name = moved[k].renamed;
      break;
    }
  if (!function) {
    if (!crypto) crypto = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL);
    if (!ssl) ssl = dlopen("libssl.so.3", RTLD_LAZY | RTLD_LOCAL);
    if (crypto) function = dlsym(crypto, name);
    if (!function && ssl) function = dlsym(ssl, name);
  }
  if (!function) {
    fprintf(stderr, "mesos: OpenSSL's function %s is not available\n", names[i]);
    abort();
  }
  return mesos_ssl_slots[i] = function;
}

/* The index arrives in r11; every register that may carry an argument (and al, for varargs) survives. */
__asm__(
    ".text\n.local mesos_ssl_lazy\n.type mesos_ssl_lazy,@function\nmesos_ssl_lazy:\n"
    "push %rdi; push %rsi; push %rdx; push %rcx; push %r8; push %r9; push %rax\n"
    "mov %r11,%rdi\ncall mesos_ssl_resolve\nmov %rax,%r11\n"
    "pop %rax; pop %r9; pop %r8; pop %rcx; pop %rdx; pop %rsi; pop %rdi\njmp *%r11\n");

#define SSL_SHIM(i, n)                                                                \
  __asm__(".globl " #n "\n.type " #n ",@function\n" #n ":\n"                          \
          "mov mesos_ssl_slots+8*" #i "(%rip),%r11\ntest %r11,%r11\nje 1f\njmp *%r11\n" \
          "1: mov $" #i ",%r11d\njmp mesos_ssl_lazy\n");
#include "ssl_names.h"
