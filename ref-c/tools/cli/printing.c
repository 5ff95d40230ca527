/* SPDX-License-Identifier: MIT */
#include "printing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"

#define PREVIEW ((size_t)64) /* payload bytes that text shows */
#define LINE ((size_t)16)

int format_option(const struct args *args, enum message_format *format)
{
    const char *word = args->value[OPT_FORMAT];
    if (word != NULL && given(args, OPT_JSON) && strcmp(word, "jsonl") != 0)
        return usage_error("%s: --json is --format jsonl, not %s", args->verb->name, word);
    if (word == NULL)
        word = given(args, OPT_JSON) || !isatty(STDOUT_FILENO) ? "jsonl" : "text";
    *format = strcmp(word, "text") == 0 ? FORMAT_TEXT : strcmp(word, "raw") == 0 ? FORMAT_RAW : FORMAT_JSONL;
    return EXIT_OK;
}

static void print_hex_line(const unsigned char *data, size_t offset, size_t length)
{
    printf("    %04zx ", offset);
    for (size_t i = 0; i < LINE; i++) {
        if (i < length)
            printf(" %02x", data[i]);
        else
            printf("   ");
    }
    printf("  |");
    for (size_t i = 0; i < length; i++)
        putchar(data[i] >= ' ' && data[i] < 0x7f ? data[i] : '.');
    printf("|\n");
}

void print_payload(const unsigned char *payload, size_t length)
{
    for (size_t at = 0; at < length && at < PREVIEW; at += LINE)
        print_hex_line(payload + at, at, length - at < LINE ? length - at : LINE);
    if (length > PREVIEW)
        printf("    and %zu more bytes\n", length - PREVIEW);
}
