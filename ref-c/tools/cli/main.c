/* SPDX-License-Identifier: MIT
 *
 * shmwire: look into shared-memory segments. The table in options.c says what there is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "guard.h"
#include "output.h"

struct call {
    const struct args *args;
    int rc;
};

static void run_verb(void *context)
{
    struct call *call = context;
    call->rc = call->args->verb->run(call->args);
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return EXIT_OK;
    }
    const struct verb_row *verb = find_verb(argv[1]);
    if (verb == NULL)
        return usage_error("there is no verb %s; see `shmwire help`", argv[1]);
    print_verb_help(verb);
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    static struct args args; /* static: read after a jump out of the verb */
    static struct call call;
    if (argc < 2)
        return usage_error("a verb is missing; see `shmwire help`");
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(word, "--generate") == 0 && argc == 3)
        return generate(argv[2]);
    if (strcmp(word, "--version") == 0)
        argv[1] = "version";
    const int rc = parse_args(argc - 1, argv + 1, &args);
    if (rc != EXIT_OK)
        return rc;
    if (given(&args, OPT_HELP)) {
        print_verb_help(args.verb);
        return EXIT_OK;
    }
    call = (struct call){.args = &args, .rc = EXIT_USAGE};
    if (!guarded(run_verb, &call))
        return io_error("%s: the segment became shorter while it was read", args.verb->name);
    return call.rc;
}

int main(int argc, char **argv)
{
    int rc = run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc != EXIT_USAGE)
        rc = io_error("standard output: %s", strerror(errno));
    return rc;
}
