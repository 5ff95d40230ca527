/* SPDX-License-Identifier: MIT
 *
 * Output: diagnostics on standard error, colour on terminals, JSON on standard output. */
#ifndef SHMW_CLI_OUTPUT_H
#define SHMW_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A line on standard error. The *_error functions return the exit code that they are named after. */
void diagnostic(const char *format, ...) __attribute__((format(printf, 1, 2)));
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int io_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int unsupported_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The exit code for an error of the library, after a diagnostic. `what` is what failed. */
int library_error(const char *what, int code);

/* The same for a segment that could not be opened: EXIT_FINDINGS for what a reader must refuse. */
int open_error(const char *path, int code);

/* The same for a repair that answered SHMW_BUSY. */
int busy_error(const char *path);

/* Terminal sequences, or "" where standard output is no terminal, or NO_COLOR is set, or TERM is dumb. */
const char *style_bold(void);
const char *style_bad(void);
const char *style_plain(void);

/* A string from outside, without control characters. */
void print_safe(FILE *out, const char *text);

/* "2023-11-14T22:13:20.000000000Z", or the bare number where the year has more than four digits. */
void format_time(char *text, size_t size, uint64_t unix_ns);

/* JSON, written as it comes. Keys are NULL inside arrays. 64-bit integers are decimal strings. */
#define JSON_DEPTH 8
struct json {
    FILE *out;
    int depth;
    bool some[JSON_DEPTH]; /* has this level a member yet? */
    char close[JSON_DEPTH];
};

void json_begin(struct json *json, FILE *out); /* the outer object */
void json_end(struct json *json);              /* its end and a LF */
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close(struct json *json);
void json_text(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_number(struct json *json, const char *key, uint64_t value); /* below 2^53 */
void json_real(struct json *json, const char *key, double value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_hex(struct json *json, const char *key, const void *data, size_t length);

#endif
