/* SPDX-License-Identifier: MIT
 *
 * One request of the runner and the reply that is being made for it. Whatever a handler allocates belongs to the request and is
 * freed after the reply, also when a SIGBUS cut the handler short. */
#ifndef SHMW_DRIVER_REQUEST_H
#define SHMW_DRIVER_REQUEST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmwire.h"

/* Codes that only drivers use, beside those of shmwire/errors.h. */
#define DRIVER_UNKNOWN_COMMAND (-1001)
#define DRIVER_BAD_REQUEST (-1002)
#define DRIVER_INTERNAL (-1003)

#define DRIVER_INLINE_BYTES 4096u /* longer payloads are answered as length and SHA-256 */
#define DRIVER_LONGEST_DATA (UINT64_C(64) << 20)

struct request {
    cJSON *body;             /* what the runner sent */
    cJSON *ok;               /* the reply's "ok", filled by the handler */
    char detail[200];        /* the reply's "detail" in case of an error; may be empty */
    uint64_t needed;         /* with SHMW_TOO_SMALL: the size needed */
    struct scratch *scratch; /* blocks that end with the request */
};

struct bytes {
    const unsigned char *data;
    size_t len;
};

/* zeroed memory that lives as long as the request; the driver ends when there is none */
void *request_alloc(struct request *rq, size_t size);
void request_free(struct request *rq);

/* Set the detail, and give back code. */
int request_fail(struct request *rq, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The words that stand for an answer ("ok", "full", ...) in `st` and for an error in `code`. */
const char *answer_word(int answer);
const char *error_word(int code);

/* Fields of a request. need_*: DRIVER_BAD_REQUEST when absent; want_*: *out stays as it is when absent. Both: DRIVER_BAD_REQUEST
 * when the value is no such thing or above max. Integers may be JSON numbers or decimal strings. */
int need_u64(struct request *rq, const cJSON *object, const char *key, uint64_t max, uint64_t *out);
int want_u64(struct request *rq, const cJSON *object, const char *key, uint64_t max, uint64_t *out);
int want_bool(struct request *rq, const cJSON *object, const char *key, bool *out);
int need_text(struct request *rq, const cJSON *object, const char *key, const char **out);
/* One of `count` words, by its number. */
int want_word(struct request *rq, const cJSON *object, const char *key, const char *const *words, size_t count, unsigned *out);
int want_mode(struct request *rq, const cJSON *object, uint32_t *mode); /* permissions as an octal string in `mode` */
int need_bytes(struct request *rq, const cJSON *object, const char *key, struct bytes *out);
int want_timeout(struct request *rq, uint64_t *timeout_ns); /* timeout_ms of the body; 0 when absent */
const cJSON *field(const cJSON *object, const char *key);

/* Parts of a reply. */
void put_u64(cJSON *object, const char *key, uint64_t value);    /* a decimal string */
void put_number(cJSON *object, const char *key, uint64_t value); /* a JSON number, below 2^53 */
void put_text(cJSON *object, const char *key, const char *value);
void put_bool(cJSON *object, const char *key, bool value);
void put_bytes(struct request *rq, cJSON *object, const char *key, const void *data, size_t len);
cJSON *put_object(cJSON *object, const char *key);
cJSON *put_array(cJSON *object, const char *key);
cJSON *push_object(cJSON *array);

#endif
