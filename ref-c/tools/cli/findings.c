/* SPDX-License-Identifier: MIT */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

void findings_add(struct findings *findings, enum severity severity, const char *rule, uint32_t channel, uint64_t position,
                  const char *format, ...)
{
    findings->errors += severity == ERROR;
    if (findings->count == MOST_FINDINGS) {
        findings->omitted++;
        return;
    }
    struct finding *finding = &findings->list[findings->count++];
    *finding = (struct finding){.severity = severity, .rule = rule, .channel = channel, .position = position};
    va_list args;
    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
}

size_t findings_of_channel(const struct findings *findings, uint32_t channel)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++)
        count += findings->list[i].severity == ERROR && findings->list[i].channel == channel;
    return count;
}

void findings_print(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        if (finding->severity == ERROR)
            printf("%serror%s ", style_bad(), style_plain());
        else
            printf("note  ");
        if (finding->channel != NO_CHANNEL)
            printf("%s %u", findings->part, (unsigned)finding->channel);
        if (finding->position != NO_POSITION)
            printf("%sposition %llu", finding->channel != NO_CHANNEL ? " " : "", (unsigned long long)finding->position);
        printf("%s%s", finding->channel != NO_CHANNEL || finding->position != NO_POSITION ? ": " : "", finding->text);
        if (finding->rule[0] != '\0')
            printf(" [%s]", finding->rule);
        putchar('\n');
    }
    if (findings->omitted > 0)
        printf("and %llu more\n", (unsigned long long)findings->omitted);
}

void findings_json(const struct findings *findings, struct json *json)
{
    json_array(json, "findings");
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        json_object(json, NULL);
        json_text(json, "severity", finding->severity == ERROR ? "error" : "note");
        json_text(json, "rule", finding->rule);
        if (finding->channel != NO_CHANNEL)
            json_number(json, findings->part, finding->channel);
        else
            json_null(json, findings->part);
        if (finding->position != NO_POSITION)
            json_u64(json, "position", finding->position);
        else
            json_null(json, "position");
        json_text(json, "text", finding->text);
        json_close(json);
    }
    json_close(json);
    json_u64(json, "errors", findings->errors);
    json_u64(json, "omitted", findings->omitted);
}
