/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sha256.h"

#define EXACT_IN_DOUBLE 9007199254740992.0 /* 2^53 */

struct scratch {
    struct scratch *next;
    max_align_t memory[];
};

static void *must(void *memory)
{
    if (memory != NULL)
        return memory;
    fputs("shmwire-driver-c: out of memory\n", stderr);
    abort();
}

void *request_alloc(struct request *rq, size_t size)
{
    struct scratch *block = must(calloc(1, sizeof(*block) + size));
    block->next = rq->scratch;
    rq->scratch = block;
    return block->memory;
}

void request_free(struct request *rq)
{
    while (rq->scratch != NULL) {
        struct scratch *next = rq->scratch->next;
        free(rq->scratch);
        rq->scratch = next;
    }
    cJSON_Delete(rq->ok);
    cJSON_Delete(rq->body);
}

int request_fail(struct request *rq, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(rq->detail, sizeof(rq->detail), format, args);
    va_end(args);
    return code;
}

/* Words ------------------------------------------------------------------------------------------------------------ */

const char *answer_word(int answer)
{
    switch (answer) {
    case SHMW_OK:
        return "ok";
    case SHMW_EMPTY:
        return "empty";
    case SHMW_FULL:
        return "full";
    case SHMW_LAPPED:
        return "lapped";
    case SHMW_TIMEOUT:
        return "timeout";
    default:
        return "closed";
    }
}

const char *error_word(int code)
{
    switch (code) {
    case DRIVER_UNKNOWN_COMMAND:
        return "UNKNOWN_COMMAND";
    case DRIVER_BAD_REQUEST:
        return "BAD_REQUEST";
    case DRIVER_INTERNAL:
        return "INTERNAL";
    case SHMW_FULL: /* deepwater's create, open and write end with these two as with errors */
        return "FULL";
    case SHMW_CLOSED:
        return "CLOSED";
    default: /* an answer (>= 0) where only success makes sense is a defect of the driver or the library */
        return code < 0 ? shmw_error_name(code) : "INTERNAL";
    }
}

/* Fields ----------------------------------------------------------------------------------------------------------- */

const cJSON *field(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(value) ? NULL : value;
}

static bool decimal(const char *text, uint64_t *out)
{
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    *out = value;
    return errno == 0;
}

static bool integer(const cJSON *value, uint64_t *out)
{
    if (cJSON_IsString(value))
        return decimal(value->valuestring, out);
    if (!cJSON_IsNumber(value))
        return false;
    const double number = value->valuedouble;
    if (!(number >= 0.0 && number <= EXACT_IN_DOUBLE))
        return false;
    *out = (uint64_t)number;
    return (double)*out == number;
}

int want_u64(struct request *rq, const cJSON *object, const char *key, uint64_t max, uint64_t *out)
{
    const cJSON *value = field(object, key);
    if (value == NULL)
        return SHMW_OK;
    uint64_t found = 0;
    if (!integer(value, &found) || found > max)
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s is not an integer from 0 to %llu", key, (unsigned long long)max);
    *out = found;
    return SHMW_OK;
}

int need_u64(struct request *rq, const cJSON *object, const char *key, uint64_t max, uint64_t *out)
{
    if (field(object, key) == NULL)
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s is missing", key);
    return want_u64(rq, object, key, max, out);
}

int want_bool(struct request *rq, const cJSON *object, const char *key, bool *out)
{
    const cJSON *value = field(object, key);
    if (value == NULL)
        return SHMW_OK;
    if (!cJSON_IsBool(value))
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s is neither true nor false", key);
    *out = cJSON_IsTrue(value);
    return SHMW_OK;
}

int need_text(struct request *rq, const cJSON *object, const char *key, const char **out)
{
    const cJSON *value = field(object, key);
    if (!cJSON_IsString(value))
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s is missing or not a string", key);
    *out = value->valuestring;
    return SHMW_OK;
}

int want_word(struct request *rq, const cJSON *object, const char *key, const char *const *words, size_t count, unsigned *out)
{
    const char *word = NULL;
    if (field(object, key) == NULL)
        return SHMW_OK;
    const int rc = need_text(rq, object, key, &word);
    if (rc != SHMW_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (unsigned)i;
            return SHMW_OK;
        }
    }
    return request_fail(rq, DRIVER_BAD_REQUEST, "%s is none of the words it may be: %.60s", key, word);
}

int want_mode(struct request *rq, const cJSON *object, uint32_t *mode)
{
    const cJSON *value = field(object, "mode");
    if (value == NULL)
        return SHMW_OK;
    const char *text = cJSON_IsString(value) ? value->valuestring : "";
    if (text[0] == '\0' || strlen(text) > 10 || strspn(text, "01234567") != strlen(text))
        return request_fail(rq, DRIVER_BAD_REQUEST, "mode is not an octal string");
    *mode = (uint32_t)strtoul(text, NULL, 8);
    return SHMW_OK;
}

int want_timeout(struct request *rq, uint64_t *timeout_ns)
{
    uint64_t ms = 0;
    const int rc = want_u64(rq, rq->body, "timeout_ms", UINT32_MAX, &ms);
    *timeout_ns = ms * UINT64_C(1000000);
    return rc;
}

/* Bytes in --------------------------------------------------------------------------------------------------------- */

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int from_hex(struct request *rq, const char *hex, struct bytes *out)
{
    const size_t digits = strlen(hex);
    unsigned char *data = request_alloc(rq, digits / 2 + 1);
    for (size_t i = 0; i + 1 < digits; i += 2) {
        const int high = nibble(hex[i]);
        const int low = nibble(hex[i + 1]);
        if (high < 0 || low < 0)
            return request_fail(rq, DRIVER_BAD_REQUEST, "hex holds something else than lower-case digits");
        data[i / 2] = (unsigned char)(high << 4 | low);
    }
    if (digits % 2 != 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "hex has an odd number of digits");
    *out = (struct bytes){.data = data, .len = digits / 2};
    return SHMW_OK;
}

/* byte i = (31 seed + 17 i + 101 (i >> 8)) mod 256 */
static int from_pattern(struct request *rq, const cJSON *object, struct bytes *out)
{
    uint64_t kind = 0;
    uint64_t seed = 0;
    uint64_t len = 0;
    int rc = need_u64(rq, object, "pat", 1, &kind);
    if (rc == SHMW_OK && kind != 1)
        rc = request_fail(rq, DRIVER_BAD_REQUEST, "pat is not 1");
    if (rc == SHMW_OK)
        rc = need_u64(rq, object, "seed", UINT64_MAX, &seed);
    if (rc == SHMW_OK)
        rc = need_u64(rq, object, "len", DRIVER_LONGEST_DATA, &len);
    if (rc != SHMW_OK)
        return rc;
    unsigned char *data = request_alloc(rq, (size_t)len + 1);
    for (uint64_t i = 0; i < len; i++)
        data[i] = (unsigned char)(31 * seed + 17 * i + 101 * (i >> 8));
    *out = (struct bytes){.data = data, .len = (size_t)len};
    return SHMW_OK;
}

int need_bytes(struct request *rq, const cJSON *object, const char *key, struct bytes *out)
{
    const cJSON *value = field(object, key);
    if (!cJSON_IsObject(value))
        return request_fail(rq, DRIVER_BAD_REQUEST, "%s is missing or not an object", key);
    const cJSON *hex = field(value, "hex");
    if (hex == NULL)
        return from_pattern(rq, value, out);
    if (!cJSON_IsString(hex))
        return request_fail(rq, DRIVER_BAD_REQUEST, "hex is not a string");
    return from_hex(rq, hex->valuestring, out);
}

/* Replies ---------------------------------------------------------------------------------------------------------- */

static void put(cJSON *object, const char *key, cJSON *value)
{
    must(value);
    if (!cJSON_AddItemToObject(object, key, value))
        must(NULL);
}

void put_u64(cJSON *object, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    put(object, key, cJSON_CreateString(text));
}

void put_number(cJSON *object, const char *key, uint64_t value)
{
    put(object, key, cJSON_CreateNumber((double)value));
}

void put_text(cJSON *object, const char *key, const char *value)
{
    put(object, key, cJSON_CreateString(value));
}

void put_bool(cJSON *object, const char *key, bool value)
{
    put(object, key, cJSON_CreateBool(value));
}

cJSON *put_object(cJSON *object, const char *key)
{
    cJSON *value = cJSON_CreateObject();
    put(object, key, value);
    return value;
}

cJSON *put_array(cJSON *object, const char *key)
{
    cJSON *value = cJSON_CreateArray();
    put(object, key, value);
    return value;
}

cJSON *push_object(cJSON *array)
{
    cJSON *value = must(cJSON_CreateObject());
    if (!cJSON_AddItemToArray(array, value))
        must(NULL);
    return value;
}

static void to_hex(char *text, const unsigned char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * len] = '\0';
}

void put_bytes(struct request *rq, cJSON *object, const char *key, const void *data, size_t len)
{
    cJSON *value = put_object(object, key);
    if (len <= DRIVER_INLINE_BYTES) {
        char *hex = request_alloc(rq, 2 * len + 1);
        to_hex(hex, data, len);
        put_text(value, "hex", hex);
        return;
    }
    unsigned char digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];
    sha256(data, len, digest);
    put_u64(value, "len", len);
    to_hex(text, digest, sizeof(digest));
    put_text(value, "sha256", text);
    to_hex(text, data, 32);
    put_text(value, "head", text);
}
