/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"
#include "shmwire.h"

/* Diagnostics ------------------------------------------------------------------------------------------------------ */

static void say(const char *format, va_list args)
{
    char line[1024];
    progress_hide();
    fflush(stdout); /* so that both streams on one terminal stay in order */
    vsnprintf(line, sizeof(line), format, args);
    fputs("shmwire: ", stderr);
    print_safe(stderr, line);
    fputc('\n', stderr);
}

#define SAY(format) \
    do { \
        va_list args; \
        va_start(args, format); \
        say(format, args); \
        va_end(args); \
    } while (0)

void diagnostic(const char *format, ...)
{
    SAY(format);
}

int usage_error(const char *format, ...)
{
    SAY(format);
    return EXIT_USAGE;
}

int io_error(const char *format, ...)
{
    SAY(format);
    return EXIT_USAGE;
}

int unsupported_error(const char *format, ...)
{
    SAY(format);
    return EXIT_UNSUPPORTED;
}

int library_error(const char *what, int code)
{
    if (code == SHMW_SYSTEM)
        return io_error("%s: %s (%s)", what, shmw_strerror(code), strerror(errno));
    diagnostic("%s: %s: %s", what, shmw_error_name(code), shmw_strerror(code));
    return code == SHMW_UNSUPPORTED ? EXIT_UNSUPPORTED : EXIT_USAGE;
}

int open_error(const char *path, int code)
{
    switch (code) {
    case SHMW_BAD_MAGIC:
    case SHMW_BAD_VERSION:
    case SHMW_NOT_READY:
    case SHMW_TRUNCATED:
    case SHMW_BAD_GEOMETRY:
    case SHMW_CORRUPT:
        diagnostic("%s: %s: %s", path, shmw_error_name(code), shmw_strerror(code));
        return EXIT_FINDINGS;
    default:
        return library_error(path, code);
    }
}

int busy_error(const char *path)
{
    return io_error("%s: BUSY: another process maps the segment, or the maps of some processes cannot be read; --all-dead is your "
                    "word that nobody uses it",
                    path);
}

/* Text ------------------------------------------------------------------------------------------------------------- */

static const char *style(const char *sequence)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if ((no_color != NULL && no_color[0] != '\0') || (term != NULL && strcmp(term, "dumb") == 0) || !isatty(STDOUT_FILENO))
        return "";
    return sequence;
}

const char *style_bold(void)
{
    return style("\033[1m");
}

const char *style_bad(void)
{
    return style("\033[31m");
}

const char *style_plain(void)
{
    return style("\033[0m");
}

void print_safe(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

void format_time(char *text, size_t size, uint64_t unix_ns)
{
    const time_t seconds = (time_t)(unix_ns / UINT64_C(1000000000));
    struct tm calendar;
    char day[32];
    gmtime_r(&seconds, &calendar); /* 2^64 ns end in the year 2554 */
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &calendar);
    snprintf(text, size, "%s.%09lluZ", day, (unsigned long long)(unix_ns % UINT64_C(1000000000)));
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at text, 0 when it is none. */
static size_t utf8_length(const unsigned char *text)
{
    const size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (text[0] >= 0x80 && (text[0] < 0xc2 || text[0] > 0xf4))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) /* also stops at the NUL */
            return 0;
    const bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    const bool beyond = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

static void write_string(FILE *out, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;
    fputc('"', out);
    while (*at != '\0') {
        const size_t length = utf8_length(at);
        if (length == 0)
            fputs("\\ufffd", out); /* file names are bytes */
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, length, out);
        at += length == 0 ? 1 : length;
    }
    fputc('"', out);
}

static void lead_in(struct json *json, const char *key)
{
    if (json->depth > 0) {
        if (json->some[json->depth - 1])
            fputs(", ", json->out);
        json->some[json->depth - 1] = true;
    }
    if (key != NULL) {
        write_string(json->out, key);
        fputs(": ", json->out);
    }
}

static void open_level(struct json *json, const char *key, char open, char close)
{
    lead_in(json, key);
    if (json->depth == JSON_DEPTH)
        abort();
    json->some[json->depth] = false;
    json->close[json->depth++] = close;
    fputc(open, json->out);
}

void json_begin(struct json *json, FILE *out)
{
    *json = (struct json){.out = out};
    open_level(json, NULL, '{', '}');
}

void json_end(struct json *json)
{
    while (json->depth > 0)
        json_close(json);
    fputc('\n', json->out);
}

void json_object(struct json *json, const char *key)
{
    open_level(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
    open_level(json, key, '[', ']');
}

void json_close(struct json *json)
{
    fputc(json->close[--json->depth], json->out);
}

void json_text(struct json *json, const char *key, const char *value)
{
    lead_in(json, key);
    write_string(json->out, value);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
    lead_in(json, key);
    fprintf(json->out, "\"%llu\"", (unsigned long long)value);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    lead_in(json, key);
    fprintf(json->out, "%llu", (unsigned long long)value);
}

void json_real(struct json *json, const char *key, double value)
{
    lead_in(json, key);
    fprintf(json->out, "%.1f", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    lead_in(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
    lead_in(json, key);
    fputs("null", json->out);
}

void json_hex(struct json *json, const char *key, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    lead_in(json, key);
    fputc('"', json->out);
    for (size_t i = 0; i < length; i++)
        fprintf(json->out, "%02x", bytes[i]);
    fputc('"', json->out);
}
