/* SPDX-License-Identifier: MIT
 *
 * Lanes: the shortest way for the most frequent calls, sending and taking one message and, with shmcomm, batches. cffi costs some 150 ns a call, and
 * Python code around it several times that; these are CPython methods that hand over a position or a finished Message. Everything
 * else goes through cffi. Both live in one library: lane_module.h makes a second module in it, `_ext_lane`
 * (shmwire/_native/__init__.py loads it).
 */
#ifndef SHMWPY_LANE_H
#define SHMWPY_LANE_H

#include <Python.h>
#include <stdint.h>

/* An int from 0 to limit. */
static int shmwpy_unsigned(PyObject *value, uint64_t limit, uint64_t *out)
{
    *out = PyLong_AsUnsignedLongLong(value);
    if (*out == UINT64_MAX && PyErr_Occurred())
        return -1;
    if (*out <= limit)
        return 0;
    PyErr_SetString(PyExc_OverflowError, "a number is out of range");
    return -1;
}

/* What is no success: a negative error of the registry as it is, a result as -1000 - result. */
static long shmwpy_answer_code(int rc)
{
    return rc < 0 ? rc : -1000 - rc;
}

static PyObject *shmwpy_answer(int rc)
{
    return PyLong_FromLong(shmwpy_answer_code(rc));
}

#endif
