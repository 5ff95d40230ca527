/* SPDX-License-Identifier: MIT
 *
 * The table of verbs and options, and the parser that reads it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"

#define LIST(...) ((const enum option_id[]){__VA_ARGS__, OPT_HELP, OPT_COUNT_OF_OPTIONS})

const struct option_row option_table[OPT_COUNT_OF_OPTIONS] = {
    [OPT_ALL] = {"all", 'a', NULL, NULL, "print tombstones too (dmxp)", "dmxp"},
    [OPT_ALL_DEAD] = {"all-dead", 0, NULL, NULL, "your word that no other process uses the segment", NULL},
    [OPT_CAPACITY] = {"capacity", 0, "SLOTS", NULL,
                      "slots of each channel, elements of the ring, or bytes of the ring, a power of two (dmxp and slick, default "
                      "1024; shmcomm 65536)",
                      "dmxp|slick|shmcomm"},
    [OPT_CHANNEL] = {"channel", 'c', "N", NULL, "this channel only (dmxp)", "dmxp"},
    [OPT_CHANNELS] = {"channels", 0, "N", NULL, "channels to make, numbered from 0 (dmxp, default 1)", "dmxp"},
    [OPT_CHUNKS] = {"chunks", 0, "N", NULL, "chunks that the ring is cut into (ouroboros, default 4)", "ouroboros"},
    [OPT_CHUNK_TARGET] = {"chunk-target", 0, "B", NULL, "bytes after which the next chunk begins (ouroboros, default 262144)",
                          "ouroboros"},
    [OPT_COUNT] = {"count", 0, "M", NULL, "messages to send to each channel, or entries or items to write (default 0)", NULL},
    [OPT_DIR] = {"dir", 0, "DIR", NULL, "look there instead of in /dev/shm", NULL},
    [OPT_DRY_RUN] = {"dry-run", 'n', NULL, NULL,
                     "say what would be repaired or removed, change nothing, exit 1 if there is anything", NULL},
    [OPT_ELEMENTS] = {"elements", 0, "N", NULL, "elements of each item (slick, default 1)", "slick"},
    [OPT_FOLLOW] = {"follow", 'f', NULL, NULL, "go on with new messages until interrupted", NULL},
    [OPT_FORMAT] = {"format", 0, "FORMAT", "text|jsonl|raw",
                    "text (default on a terminal), jsonl (default elsewhere), or the payloads alone", NULL},
    [OPT_FROM] = {"from", 0, "START", "oldest|latest|auto",
                  "the first chunk to print: the oldest, the latest, or the very first if it is still there, else the latest "
                  "(ouroboros, default auto)",
                  "ouroboros"},
    [OPT_GENERATION] = {"generation", 0, "GENERATION", "1.2|1.3|1.4",
                        "releases of the source system that are to understand the ring (slick, default 1.4)", "slick"},
    [OPT_HELP] = {"help", 'h', NULL, NULL, "show this help", NULL},
    [OPT_INSIST] = {"insist", 0, NULL, NULL, "remove stale pipelines that hold messages, too", NULL},
    [OPT_INTERVAL_MS] = {"interval-ms", 0, "N", NULL, "time between two looks in milliseconds (default 1000)", NULL},
    [OPT_JSON] = {"json", 0, NULL, NULL, "print JSON; `shmwire schema VERB` describes it", NULL},
    [OPT_LAST] = {"lines", 'n', "N", NULL, "begin with the last N messages of each channel, log or ring (default 10)", NULL},
    [OPT_MILLISECONDS] = {"ms", 0, "N", NULL, "length of each measurement in milliseconds (default 300)", NULL},
    [OPT_NEW_LAYOUT] = {"payload-layout", 0, "LAYOUT", "crate|document",
                        "payload layout of the new segment (dmxp, default crate)", "dmxp"},
    [OPT_PATTERN] = {"pattern", 0, "PATTERN", "pubsub|pipeline", "what the channel is for (shmcomm, default pubsub)", "shmcomm"},
    [OPT_PAYLOAD_LAYOUT] = {"payload-layout", 0, "LAYOUT", "auto|crate|document",
                            "where payloads are if header.payload_layout is 0 (dmxp, default auto; libraries: crate)",
                            "dmxp"},
    [OPT_PROFILE] = {"profile", 'p', "PROFILE", "dmxp|ouroboros|slick|shmcomm",
                     "take the segment for one of this profile instead of looking at its magic", NULL},
    [OPT_ROUNDS] = {"rounds", 'n', "N", NULL, "end after N looks (default: when interrupted)", NULL},
    [OPT_SEED] = {"seed", 0, "S", NULL, "number that the payloads are made from (default 1)", NULL},
    [OPT_SIZE] = {"size", 0, "B", NULL, "payload bytes of each message; of slick, of each element (default 64)", NULL},
    [OPT_STALL_MS] = {"stall-ms", 0, "N", NULL,
                      "also watch for N milliseconds and report channels whose head does not move (dmxp)",
                      "dmxp"},
};

const struct verb_row verb_table[] = {
    {"ls", "", 0, 0, "list the segments on this machine",
     "Lists the files in /dev/shm (or in --dir) that carry the magic of a known profile: name, profile, pattern, size in bytes, "
     "channels, messages waiting, messages published in a second, dropped, processes that went to sleep since the last wake, "
     "keeper, owner, mode, time since the last change of the file's status, and the processes that map "
     "it; a ? there says that the maps of some processes could not be read. The keeper is the process id that a channel "
     "(shmcomm) names, or stale if no keeper lives. Rates come from two looks, a tenth of a second apart.",
     LIST(OPT_DIR, OPT_JSON), verb_ls},
    {"top", "", 0, 0, "show the segments of this machine again and again, busiest first",
     "The columns of ls, once an interval, until interrupted. With --json a line each time.",
     LIST(OPT_DIR, OPT_INTERVAL_MS, OPT_ROUNDS, OPT_JSON), verb_top},
    {"gc", "", 0, 0, "remove the channels that dead processes left behind",
     "Writes. Removes the segments in /dev/shm (or in --dir) that no keeper lives of (shmcomm), and prints a line for each. "
     "Pipelines that hold messages are kept unless --insist is given. Segments of profiles that cannot tell are left alone.",
     LIST(OPT_DIR, OPT_DRY_RUN, OPT_INSIST, OPT_JSON), verb_gc},
    {"inspect", "SEG", 1, 1, "decode the header and the channels, chunks, slots or frames and say how they are",
     "Prints what is there, by the field names of the layout, also when it is broken, and of a ring (slick) the generation. Exit 1 "
     "if the header, a channel, a chunk or a slot has a problem.",
     LIST(OPT_PROFILE, OPT_STALL_MS, OPT_JSON), verb_inspect},
    {"validate", "SEG", 1, 1, "check every rule that bytes can show to be broken",
     "Prints every finding with the id of its rule. Errors count for the exit code, notes do not.",
     LIST(OPT_PROFILE, OPT_STALL_MS, OPT_JSON), verb_validate},
    {"dump", "SEG", 1, 1, "print the messages that wait in the segment",
     "Prints the published and unconsumed messages, channel by channel, oldest first, and consumes none. Stops at the tail that "
     "each channel had at the start. Positions that are claimed and not published are skipped with a diagnostic; a corrupt "
     "message gives a diagnostic and exit 1, and the others are still printed.\n"
     "Of a log (ouroboros) it prints the entries that can be read, from the chunk that --from names to the last one that was "
     "there at the start. Entries overwritten meanwhile are counted on standard error.\n"
     "Of a ring (slick) it prints the items that can be read, from the oldest that is whole to the last one that was reserved at the "
     "start. Reservations that nobody published are passed over and counted on standard error.\n"
     "Of a channel (shmcomm) it prints the messages that are held at the start, and takes none.",
     LIST(OPT_PROFILE, OPT_FORMAT, OPT_JSON, OPT_FROM, OPT_CHANNEL, OPT_PAYLOAD_LAYOUT, OPT_ALL), verb_dump},
    {"tail", "SEG", 1, 1, "print the last messages, and with -f the new ones",
     "Looks without consuming, so the segment's consumers are not disturbed; what they take before this command sees it is "
     "counted on standard error, and so is what the writers of a log (ouroboros), a ring (slick) or a channel (shmcomm) "
     "overwrite. With -f it ends at SIGINT or SIGTERM.",
     LIST(OPT_FOLLOW, OPT_LAST, OPT_PROFILE, OPT_FORMAT, OPT_JSON, OPT_CHANNEL, OPT_PAYLOAD_LAYOUT, OPT_ALL), verb_tail},
    {"gen", "SEG", 1, 1, "make a segment with known messages",
     "Writes. Makes a new segment, as large as its channels, chunks, elements or ring need; the same options give the same bytes. "
     "Refuses a name that is taken. Without --profile the segment is one of profile dmxp.",
     LIST(OPT_PROFILE, OPT_CHANNELS, OPT_CAPACITY, OPT_CHUNKS, OPT_CHUNK_TARGET, OPT_ELEMENTS, OPT_GENERATION, OPT_PATTERN,
          OPT_COUNT, OPT_SIZE, OPT_NEW_LAYOUT, OPT_SEED, OPT_JSON),
     verb_gen},
    {"diff", "A B", 2, 2, "compare two segments field by field",
     "Every byte is compared; differences are named by the layout of A. Exit 1 if there are any.", LIST(OPT_PROFILE, OPT_JSON),
     verb_diff},
    {"snapshot", "SEG FILE", 2, 2, "copy a segment to a new file",
     "Copies until a whole pass finds nothing changed, eight passes at most; says on standard error if the segment kept "
     "changing. FILE appears complete or not at all, with mode 0600, and is never replaced.",
     LIST(OPT_JSON), verb_snapshot},
    {"recover", "SEG", 1, 1, "repair what dead processes left behind",
     "Writes, under the segment's lock. Refused while another process maps the segment, or where that cannot be seen, unless "
     "--all-dead is given. Of a ring (slick) it marks what dead producers reserved and never published, so that readers pass it. A "
     "log (ouroboros) has nothing to recover: exit 3. Of a channel (shmcomm), which may be in use, it takes the lock from a "
     "dead writer, mends the counts and removes the reply channels of dead requesters.",
     LIST(OPT_PROFILE, OPT_ALL_DEAD, OPT_DRY_RUN, OPT_JSON), verb_recover},
    {"bench", "", 0, 0, "measure quickly on this machine",
     "A probe, not a benchmark: two processes that are not pinned, payloads of 64 bytes, throughput and round trip. `./dev "
     "bench` in the source tree is the benchmark.",
     LIST(OPT_PROFILE, OPT_MILLISECONDS, OPT_JSON), verb_bench},
    {"schema", "[NAME]", 0, 1, "print the JSON Schema of a verb's output, or the layout of a profile",
     "NAME is a verb with --json or a profile. Without it, the names.", LIST(OPT_JSON), verb_schema},
    {"version", "", 0, 0, "print versions and profiles", "", LIST(OPT_JSON), verb_version},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

const struct verb_row *find_verb(const char *name)
{
    for (const struct verb_row *verb = verb_table; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

/* Parsing ---------------------------------------------------------------------------------------------------------- */

static bool is_choice(const char *choices, const char *value)
{
    const size_t length = strlen(value);
    for (const char *at = choices; at != NULL; at = strchr(at, '|') != NULL ? strchr(at, '|') + 1 : NULL)
        if (length > 0 && strncmp(at, value, length) == 0 && (at[length] == '|' || at[length] == '\0'))
            return true;
    return false;
}

/* The verb's option of that name (of `length` bytes) or letter; OPT_COUNT_OF_OPTIONS if it has none. */
static enum option_id find_option(const struct verb_row *verb, const char *name, size_t length, char letter)
{
    for (const enum option_id *id = verb->options; *id != OPT_COUNT_OF_OPTIONS; id++) {
        const struct option_row *row = &option_table[*id];
        if (letter != 0 ? row->letter == letter : strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return *id;
    }
    return OPT_COUNT_OF_OPTIONS;
}

static int set_option(struct args *args, enum option_id id, const char *word, const char *value)
{
    const struct option_row *row = &option_table[id];
    if (row->argument == NULL && value != NULL)
        return usage_error("%s: %s takes no value", args->verb->name, word);
    if (row->argument != NULL && value == NULL)
        return usage_error("%s: %s needs a value: %s", args->verb->name, word, row->argument);
    if (row->choices != NULL && !is_choice(row->choices, value))
        return usage_error("%s: --%s is one of %s", args->verb->name, row->name, row->choices);
    args->value[id] = value != NULL ? value : "";
    return EXIT_OK;
}

/* One word that begins with a dash; *at moves over its value if that is the next word. */
static int take_option(int argc, char **argv, int *at, struct args *args)
{
    const char *word = argv[*at];
    const bool is_long = word[1] == '-';
    const char *value = is_long ? strchr(word, '=') : word[2] != '\0' ? word + 2 : NULL;
    const size_t length = is_long ? (value != NULL ? (size_t)(value - word) : strlen(word)) - 2 : 1;
    const enum option_id id = find_option(args->verb, word + 2, length, is_long ? (char)0 : word[1]);
    if (id == OPT_COUNT_OF_OPTIONS)
        return usage_error("%s has no option %s; see `shmwire help %s`", args->verb->name, word, args->verb->name);
    if (is_long && value != NULL)
        value++;
    if (option_table[id].argument != NULL && value == NULL && *at + 1 < argc)
        value = argv[++*at];
    return set_option(args, id, word, value);
}

int parse_args(int argc, char **argv, struct args *args)
{
    bool only_operands = false;
    *args = (struct args){.verb = find_verb(argv[0])};
    if (args->verb == NULL)
        return usage_error("there is no verb %s; see `shmwire help`", argv[0]);
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            const int rc = take_option(argc, argv, &at, args);
            if (rc != EXIT_OK)
                return rc;
        } else if (args->operands == args->verb->most) {
            return usage_error("%s: %s is one word too many", args->verb->name, word);
        } else {
            args->operand[args->operands++] = word;
        }
    }
    if (args->operands < args->verb->least && !given(args, OPT_HELP))
        return usage_error("%s needs %s", args->verb->name, args->verb->operands);
    return EXIT_OK;
}

int number_option(const struct args *args, enum option_id id, uint64_t least, uint64_t most, uint64_t fallback, uint64_t *out)
{
    const char *text = args->value[id];
    *out = fallback;
    if (text == NULL)
        return EXIT_OK;
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    const bool digits = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    if (!digits || errno != 0 || value < least || value > most)
        return usage_error("%s: --%s is an integer from %llu to %llu", args->verb->name, option_table[id].name,
                           (unsigned long long)least, (unsigned long long)most);
    *out = value;
    return EXIT_OK;
}

int check_options(const struct args *args, const char *profile)
{
    for (size_t id = 0; id < OPT_COUNT_OF_OPTIONS; id++) {
        const struct option_row *row = &option_table[id];
        if (given(args, (enum option_id)id) && row->profile != NULL && !is_choice(row->profile, profile))
            return usage_error("%s: --%s is for profile %s, not %s", args->verb->name, row->name, row->profile, profile);
    }
    return EXIT_OK;
}
