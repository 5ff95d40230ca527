/* SPDX-License-Identifier: MIT
 *
 * A small harness: a test file is a table of functions; the first broken expectation prints where and what, removes the test's
 * segments and ends the process with 1. */
#ifndef SHMW_TEST_CHECK_H
#define SHMW_TEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(function) {#function, function}
#define RUN_TESTS(...) \
    int main(int argc, char **argv) \
    { \
        static const struct test tests[] = {__VA_ARGS__}; \
        return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL); \
    }

/* Run all of them, or those whose name contains `only`. */
int run_tests(const struct test *tests, size_t count, const char *only);

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_CODE(call, want) check_code((call), (want), #call, __FILE__, __LINE__)
#define CHECK_U64(got, want) check_u64((uint64_t)(got), (uint64_t)(want), #got, __FILE__, __LINE__)
#define CHECK_BYTES(got, want, size) check_bytes((got), (want), (size), #got, __FILE__, __LINE__)

void check_true(bool condition, const char *text, const char *file, int line);
void check_code(int got, int want, const char *text, const char *file, int line);
void check_u64(uint64_t got, uint64_t want, const char *text, const char *file, int line);
void check_bytes(const void *got, const void *want, size_t size, const char *text, const char *file, int line);

/* An answer that may be one of several: ANSWER(call, BIT(SHMW_OK) | BIT(SHMW_EMPTY)). Codes are bits here: OK 0 ... CLOSED 5,
 * then BAD_MAGIC 6 ... */
#define BIT(code) (1u << ((code) >= 0 ? (code) : 5 - (code)))
#define ANSWER(call, allowed) check_answer((call), (allowed), #call, __FILE__, __LINE__)
int check_answer(int got, unsigned allowed, const char *text, const char *file, int line);

/* A sequence of numbers from a seed that is not 0 (xorshift64), below bound. */
uint64_t draw(uint64_t *state, uint64_t bound);

/* A name that nobody else uses, "/shmw-refc-PID-N". Valid until the end of the test; then the process that made it removes it,
 * passed or failed. */
const char *fresh_name(void);

/* The whole file behind a locator, mapped by plain system calls: what the library is checked against. */
struct raw {
    unsigned char *bytes;
    size_t size;
};
struct raw raw_open(const char *locator);
void raw_close(struct raw *raw);

/* A private copy of its bytes, and the check that nothing has changed since. */
unsigned char *raw_copy(const struct raw *raw);
void check_unchanged(const struct raw *raw, unsigned char *copy, const char *file, int line);
#define CHECK_UNCHANGED(raw, copy) check_unchanged((raw), (copy), __FILE__, __LINE__)

/* Fork a child that runs the function and exits 0; an expectation that fails there makes it 1. */
int start_child(void (*run)(void *context), void *context);

/* Wait for a child of ours and give its exit status, or 128 + signal. */
int child_status(int pid);

/* A page of private memory whose first touch calls act, and then goes on: what the library does before and after it reads a
 * caller's data, or writes to a caller's buffer, can be seen from inside. One at a time. */
unsigned char *trap_page(void (*act)(void *context), void *context);
unsigned char *trap_pages(size_t pages, void (*act)(void *context), void *context); /* the first touch of any opens all of them */
unsigned trap_hits(void);
void trap_drop(void);

uint64_t now_ns(void);
void nap_ms(unsigned ms);

#endif
