/* SPDX-License-Identifier: MIT
 *
 * The `shmwire` command: exit codes, the option table, and the verbs. options.c holds the table from which parsing, help, the man
 * page and the completions are made. */
#ifndef SHMW_CLI_H
#define SHMW_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
    EXIT_OK = 0,
    EXIT_FINDINGS = 1,    /* the verb worked and found something wrong, or a difference */
    EXIT_USAGE = 2,       /* usage, input or output */
    EXIT_UNSUPPORTED = 3, /* not a segment of a known profile, or a verb that its profile does not have */
};

enum option_id {
    OPT_ALL,
    OPT_ALL_DEAD,
    OPT_CAPACITY,
    OPT_CHANNEL,
    OPT_CHANNELS,
    OPT_CHUNKS,
    OPT_CHUNK_TARGET,
    OPT_COUNT,
    OPT_DIR,
    OPT_DRY_RUN,
    OPT_ELEMENTS,
    OPT_FOLLOW,
    OPT_FORMAT,
    OPT_FROM,
    OPT_GENERATION,
    OPT_HELP,
    OPT_INSIST,
    OPT_INTERVAL_MS,
    OPT_JSON,
    OPT_LAST,
    OPT_MILLISECONDS,
    OPT_NEW_LAYOUT,
    OPT_PATTERN,
    OPT_PAYLOAD_LAYOUT,
    OPT_PROFILE,
    OPT_ROUNDS,
    OPT_SEED,
    OPT_SIZE,
    OPT_STALL_MS,
    OPT_COUNT_OF_OPTIONS,
};

struct option_row {
    const char *name;     /* without the dashes */
    char letter;          /* 0 = none */
    const char *argument; /* name of the value; NULL = a switch */
    const char *choices;  /* "a|b|c"; NULL = anything */
    const char *help;     /* one line, no full stop */
    const char *profile;  /* "a|b": those that have it, which `help` names too; NULL = any */
};

#define MOST_OPERANDS 2

/* What the command line says, checked against the table. */
struct args {
    const struct verb_row *verb;
    const char *value[OPT_COUNT_OF_OPTIONS]; /* NULL = not given; "" for switches that were */
    const char *operand[MOST_OPERANDS];
    int operands;
};

struct verb_row {
    const char *name;
    const char *operands; /* as shown: "SEG", "A B" */
    int least;            /* operands */
    int most;
    const char *summary;                 /* one line */
    const char *text;                    /* paragraphs for help and man page, separated by LF */
    const enum option_id *options;       /* ended by OPT_COUNT_OF_OPTIONS */
    int (*run)(const struct args *args); /* returns an exit_code */
};

extern const struct option_row option_table[OPT_COUNT_OF_OPTIONS];
extern const struct verb_row verb_table[]; /* ended by a row without a name */

const struct verb_row *find_verb(const char *name);

/* EXIT_OK, or EXIT_USAGE after a diagnostic. argv begins with the verb. */
int parse_args(int argc, char **argv, struct args *args);

static inline bool given(const struct args *args, enum option_id id)
{
    return args->value[id] != NULL;
}

/* The value of a numeric option, or fallback. EXIT_USAGE, after a diagnostic, for something else than an integer from least to
 * most. */
int number_option(const struct args *args, enum option_id id, uint64_t least, uint64_t most, uint64_t fallback, uint64_t *out);

/* EXIT_USAGE, after a diagnostic, if an option is given that another profile has and this one has not. */
int check_options(const struct args *args, const char *profile);

/* help.c */
void print_help(void);
void print_verb_help(const struct verb_row *verb);

/* generate.c: "man", "bash", "zsh" or "fish" on standard output. */
int generate(const char *what);

/* Verbs */
int verb_bench(const struct args *args);
int verb_diff(const struct args *args);
int verb_dump(const struct args *args);
int verb_gc(const struct args *args);
int verb_gen(const struct args *args);
int verb_inspect(const struct args *args);
int verb_ls(const struct args *args);
int verb_recover(const struct args *args);
int verb_schema(const struct args *args);
int verb_snapshot(const struct args *args);
int verb_tail(const struct args *args);
int verb_top(const struct args *args);
int verb_validate(const struct args *args);
int verb_version(const struct args *args);

#endif
