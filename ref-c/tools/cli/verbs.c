/* SPDX-License-Identifier: MIT
 *
 * Verbs that the segment's profile does the work for. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "deepwater/tree.h"
#include "findings.h"
#include "output.h"
#include "shmwire.h"
#include "view.h"

static int not_in_profile(const struct args *args, const struct cli_profile *profile)
{
    return unsupported_error("profile %s has no %s", profile->name, args->verb->name);
}

/* An operand that is a directory is one of profile deepwater. */
static int of_feeds(const struct args *args, int (*verb)(const struct args *))
{
    const int rc = check_options(args, "deepwater");
    if (rc == EXIT_OK && given(args, OPT_PROFILE) && find_profile(args->value[OPT_PROFILE]) != &cli_deepwater)
        return usage_error("%s: a directory is none of profile %s", args->operand[0], args->value[OPT_PROFILE]);
    return rc == EXIT_OK ? verb(args) : rc;
}

/* view_open, and a look at the options with the profile known. */
static int open_segment(const struct args *args, struct view *view)
{
    const int rc = view_open(args, args->operand[0], view);
    return rc == EXIT_OK ? check_options(args, view->profile->name) : rc;
}

/* The findings of a segment, on the heap. */
static int look(const struct args *args, const struct view *view, struct findings **out)
{
    uint64_t stall_ms = 0;
    const int rc = number_option(args, OPT_STALL_MS, 1, 3600000, 0, &stall_ms);
    if (rc != EXIT_OK)
        return rc;
    struct findings *findings = calloc(1, sizeof(*findings));
    if (findings == NULL)
        return io_error("out of memory");
    findings->part = view->profile->part;
    *out = findings;
    return view->profile->find(view, stall_ms, findings);
}

int verb_inspect(const struct args *args)
{
    if (tree_is(args->operand[0]))
        return of_feeds(args, tree_inspect);
    struct view view;
    struct findings *findings = NULL;
    int rc = open_segment(args, &view);
    if (rc == EXIT_OK)
        rc = look(args, &view, &findings);
    if (rc == EXIT_OK)
        rc = view.profile->inspect(args, &view, findings);
    if (rc == EXIT_OK && findings->errors > 0)
        rc = EXIT_FINDINGS;
    free(findings);
    view_close(&view);
    return rc;
}

static void print_validation(const struct args *args, const struct view *view, const struct findings *findings)
{
    if (!given(args, OPT_JSON)) {
        findings_print(findings);
        print_safe(stdout, view->path);
        printf(": %s, %llu error%s\n", view->profile->name, (unsigned long long)findings->errors,
               findings->errors == 1 ? "" : "s");
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-validate/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_bool(&json, "valid", findings->errors == 0);
    findings_json(findings, &json);
    json_end(&json);
}

int verb_validate(const struct args *args)
{
    if (tree_is(args->operand[0]))
        return of_feeds(args, tree_validate);
    struct view view;
    struct findings *findings = NULL;
    int rc = open_segment(args, &view);
    if (rc == EXIT_OK)
        rc = look(args, &view, &findings);
    if (rc == EXIT_OK) {
        print_validation(args, &view, findings);
        rc = findings->errors > 0 ? EXIT_FINDINGS : EXIT_OK;
    }
    free(findings);
    view_close(&view);
    return rc;
}

int verb_dump(const struct args *args)
{
    if (tree_is(args->operand[0]))
        return of_feeds(args, tree_dump);
    struct view view;
    int rc = open_segment(args, &view);
    if (rc == EXIT_OK)
        rc = view.profile->dump != NULL ? view.profile->dump(args, &view) : not_in_profile(args, view.profile);
    view_close(&view);
    return rc;
}

int verb_tail(const struct args *args)
{
    if (tree_is(args->operand[0]))
        return of_feeds(args, tree_tail);
    struct view view;
    int rc = open_segment(args, &view);
    if (rc == EXIT_OK)
        rc = view.profile->tail != NULL ? view.profile->tail(args, &view) : not_in_profile(args, view.profile);
    view_close(&view);
    return rc;
}

int verb_recover(const struct args *args)
{
    struct view view;
    int rc = open_segment(args, &view);
    if (rc == EXIT_OK)
        rc = view.profile->recover != NULL ? view.profile->recover(args, &view) : not_in_profile(args, view.profile);
    view_close(&view);
    return rc;
}

/* Verbs without a segment to detect the profile from: the first one, unless --profile says otherwise. */
static const struct cli_profile *chosen_profile(const struct args *args)
{
    return given(args, OPT_PROFILE) ? find_profile(args->value[OPT_PROFILE]) : cli_profiles[0];
}

int verb_gen(const struct args *args)
{
    char locator[PATH_ROOM];
    char path[PATH_ROOM];
    const struct cli_profile *profile = chosen_profile(args);
    int rc = resolve_segment(args->operand[0], locator, path);
    if (rc == EXIT_OK)
        rc = check_options(args, profile->name);
    if (rc != EXIT_OK)
        return rc;
    return profile->gen != NULL ? profile->gen(args, locator, path) : not_in_profile(args, profile);
}

int verb_bench(const struct args *args)
{
    const struct cli_profile *profile = chosen_profile(args);
    return profile->bench != NULL ? profile->bench(args) : not_in_profile(args, profile);
}

int verb_version(const struct args *args)
{
    if (!given(args, OPT_JSON)) {
        printf("shmwire %s\nprofiles:", SHMW_VERSION_STRING);
        for (const struct cli_profile *const *profile = cli_profiles; *profile != NULL; profile++)
            printf(" %s (layout %u)", (*profile)->name, (*profile)->revision);
        putchar('\n');
        return EXIT_OK;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-version/1");
    json_text(&json, "version", SHMW_VERSION_STRING);
    json_text(&json, "library", shmw_version());
    json_array(&json, "profiles");
    for (const struct cli_profile *const *profile = cli_profiles; *profile != NULL; profile++) {
        json_object(&json, NULL);
        json_text(&json, "name", (*profile)->name);
        json_text(&json, "title", (*profile)->title);
        json_number(&json, "layout", (*profile)->revision);
        json_close(&json);
    }
    json_end(&json);
    return EXIT_OK;
}
