/* SPDX-License-Identifier: MIT
 *
 * schema: what stands in spec/schemas and spec/generated, built into the command. */
#include <stdio.h>
#include <string.h>

#include "embedded.h"
#include "output.h"
#include "cli.h"

int verb_schema(const struct args *args)
{
    const bool list = args->operands == 0;
    struct json json;
    if (list && given(args, OPT_JSON)) {
        json_begin(&json, stdout);
        json_text(&json, "schema", "shmwire-schema/1");
        json_array(&json, "names");
    }
    for (const struct embedded *file = embedded_files; file->name != NULL; file++) {
        if (!list && strcmp(file->name, args->operand[0]) == 0) {
            fwrite(file->data, 1, file->size, stdout);
            return EXIT_OK;
        }
        if (list && given(args, OPT_JSON))
            json_text(&json, NULL, file->name);
        else if (list)
            puts(file->name);
    }
    if (list && given(args, OPT_JSON))
        json_end(&json);
    return list ? EXIT_OK : usage_error("there is no schema %s; `shmwire schema` names them", args->operand[0]);
}
