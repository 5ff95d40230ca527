/* SPDX-License-Identifier: MIT
 *
 * One half of a robot control loop in two languages: the controller of a joint. It subscribes to readings, JSON objects like
 * {"tick":7,"angle":0.1,"speed":0.0,"target":1.5}, and answers each with a command, a tick and a torque in 16 raw bytes. The other
 * half is bindings/python/examples/shmcomm_robot.py. It ends when the robot closes its channel.
 *
 *     shmcomm_control robot */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmwire/shmcomm.h>

#define STIFFNESS 40.0
#define DAMPING 12.0
#define READY_NS UINT64_C(20000000000)
#define PATIENCE_NS UINT64_C(10000000000)

struct command {
    uint64_t tick;
    double torque;
};

static int complain(const char *what, int rc)
{
    fprintf(stderr, "%s: %s\n", what, shmw_strerror(rc));
    return EXIT_FAILURE;
}

/* The number behind "key": in a JSON object without nested ones; 0 if there is none. */
static double number_of(const char *json, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *found = strstr(json, quoted);
    return found != NULL ? strtod(found + strlen(quoted), NULL) : 0;
}

static struct command control(const char *reading)
{
    const double error = number_of(reading, "target") - number_of(reading, "angle");
    return (struct command){
        .tick = (uint64_t)number_of(reading, "tick"),
        .torque = STIFFNESS * error - DAMPING * number_of(reading, "speed"),
    };
}

static int run(shmw_shmcomm *sensors, shmw_shmcomm *commands)
{
    char reading[1024];
    struct shmw_shmcomm_message message;
    uint64_t answered = 0;
    for (;;) {
        const int rc = shmw_shmcomm_receive(sensors, reading, sizeof(reading) - 1, PATIENCE_NS, 0, &message);
        if (rc == SHMW_CLOSED)
            break;
        if (rc != SHMW_OK)
            return complain("readings", rc);
        if (message.content_type != SHMW_SHMCOMM_CONTENT_JSON)
            continue;
        reading[message.length] = '\0';
        const struct command command = control(reading);
        const int sent = shmw_shmcomm_send(commands, &command, sizeof(command), NULL, 0, NULL);
        if (sent != SHMW_OK)
            return complain("commands", sent);
        answered++;
    }
    printf("controlled %llu readings\n", (unsigned long long)answered);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: shmcomm_control NAME\n");
        return EXIT_FAILURE;
    }
    char name[256];
    shmw_shmcomm *sensors = NULL;
    shmw_shmcomm *commands = NULL;
    const struct shmw_shmcomm_options options = {.ready_timeout_ns = READY_NS};
    snprintf(name, sizeof(name), "%s_sensors", argv[1]);
    int rc = shmw_shmcomm_open(SHMW_SHMCOMM_SUBSCRIBER, name, &options, &sensors);
    if (rc != SHMW_OK)
        return complain(name, rc);
    /* Second, so that the robot, which waits for this channel, has a listener when it begins. */
    snprintf(name, sizeof(name), "%s_commands", argv[1]);
    rc = shmw_shmcomm_open(SHMW_SHMCOMM_PUBLISHER, name, NULL, &commands);
    const int status = rc == SHMW_OK ? run(sensors, commands) : complain(name, rc);
    shmw_shmcomm_close(commands);
    shmw_shmcomm_close(sensors);
    return status;
}
