/* SPDX-License-Identifier: MIT
 *
 * Help on the terminal, from the option table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "output.h"
#include "text.h"

#define WIDTH 100

/* Print text in lines of at most WIDTH columns. */
static void wrap(const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        const size_t length = strcspn(text, " \n");
        if (column > 0 && column + 1 + length > WIDTH) {
            putchar('\n');
            column = 0;
        }
        if (column > 0 && length > 0)
            column += (size_t)printf(" ");
        column += (size_t)printf("%.*s", (int)length, text);
        text += length;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
        }
        text += *text != '\0' ? 1 : 0;
    }
    putchar('\n');
}

void print_help(void)
{
    printf("usage: shmwire VERB [OPTION]... [OPERAND]...\n\n%s\n\nverbs:\n", text_what);
    for (const struct verb_row *verb = verb_table; verb->name != NULL; verb++)
        printf("  %s%-10s%s %s\n", style_bold(), verb->name, style_plain(), verb->summary);
    printf("\n`shmwire help VERB` or `shmwire VERB --help` tells more.\n\n");
    wrap(text_segments);
    putchar('\n');
    wrap(text_output);
}

void print_verb_help(const struct verb_row *verb)
{
    printf("usage: shmwire %s [OPTION]... %s\n\n%s.\n", verb->name, verb->operands, verb->summary);
    if (verb->text[0] != '\0') {
        putchar('\n');
        wrap(verb->text);
    }
    printf("\noptions:\n");
    for (const enum option_id *id = verb->options; *id != OPT_COUNT_OF_OPTIONS; id++) {
        const struct option_row *row = &option_table[*id];
        char left[64];
        char letter[8] = "    ";
        if (row->letter != 0)
            snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->argument != NULL ? " " : "",
                 row->argument != NULL ? row->argument : "");
        printf("  %-30s %s", left, row->help);
        if (row->choices != NULL)
            printf(": %s", row->choices);
        putchar('\n');
    }
}
