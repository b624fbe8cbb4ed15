/* A TFLite delegate library that does nothing, to try for real how one is loaded.
 * Its face is tensorflow/lite/delegates/external/external_delegate_interface.h and TfLiteDelegate of
 * tensorflow/lite/core/c/common.h. DUMMY_DELEGATE_LOG names a file that says what was asked of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Delegate {
    void *data;
    int (*prepare)(void *context, struct Delegate *delegate);
    int (*copy_from_buffer_handle)(void *, struct Delegate *, int, void *);
    int (*copy_to_buffer_handle)(void *, struct Delegate *, int, void *);
    void (*free_buffer_handle)(void *, struct Delegate *, int *);
    int64_t flags;
    void *opaque_delegate_builder;
} Delegate;

static void say(const char *what, const char *more)
{
    const char *path = getenv("DUMMY_DELEGATE_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) {
        fprintf(log, "%s%s\n", what, more);
        fclose(log);
    }
}

/* 0 is kTfLiteOk, 1 kTfLiteError. */
static int prepare(void *context, Delegate *delegate)
{
    (void)context, (void)delegate;
    say("prepare", "");
    return getenv("DUMMY_DELEGATE_UNPREPARED") ? 1 : 0;
}

Delegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                        void (*report_error)(const char *))
{
    for (size_t i = 0; i < count; i++) {
        char option[128];
        snprintf(option, sizeof option, " %s=%s", keys[i], values[i]);
        say("option", option);
    }
    const char *refusal = getenv("DUMMY_DELEGATE_REFUSAL");
    if (refusal) {
        if (*refusal)
            report_error(refusal);
        return NULL;
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = prepare;
    say("create", "");
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate)
{
    say("destroy", "");
    free(delegate);
}
