#include "steady.h"

#include <string.h>

void steady_start(steady_state *state, int undoes_shake, int undoes_light)
{
    memset(state, 0, sizeof *state);
    state->undoes_shake = undoes_shake;
    state->undoes_light = undoes_light;
}

static void take_first(const uint8_t *base, steady_state *state)
{
    if (state->undoes_shake)
        shake_start(base, &state->shake);
    if (state->undoes_light)
        light_start(base, &state->light);
    state->started = 1;
}

/* Find the shake of `picture`, and write it, moved back, to `out`. Return whether it had moved; else nothing is written. */
static int move_back(const uint8_t *picture, const uint8_t *before, const uint8_t *open, uint8_t *out, steady_state *state)
{
    shake_find(picture, &state->shake, &state->right, &state->down);
    if (state->right == 0 && state->down == 0)
        return 0;
    shake_back(picture, before, open, state->right, state->down, out);
    if (open != NULL)
        looks_mask(open, out);
    return 1;
}

/* Try a gain. Shake is found at the brightness of the picture before, and the gain is judged on the picture that was moved back.
 * Return whether it is clear; else the picture stays as it is. */
static int relight(uint8_t *base, const uint8_t *before, const uint8_t *open, int gain, steady_state *state)
{
    int moved = 0, found = gain;

    if (state->undoes_shake) {
        light_change(base, NULL, gain, state->lit);
        moved = move_back(state->lit, before, open, state->moved, state);
        if (moved)
            found = light_find_again(state->moved, gain, &state->light);
    }
    if (!light_is_clear(&state->light, found)) {
        state->right = state->down = 0;
        return 0;
    }
    state->gain = light_shown(found);
    if (moved)
        light_change(state->moved, NULL, state->gain * LIGHT_ONE / gain, base);
    else
        light_change(base, before, state->gain, base);
    light_follow(state->gain, &state->light);
    if (state->undoes_shake)
        shake_follow(base, 1, &state->shake);
    return 1;
}

void steady_take(uint8_t *base, const uint8_t *before, const uint8_t *open, steady_state *state)
{
    int gain = LIGHT_ONE, moved = 0;

    state->right = state->down = 0;
    state->gain = LIGHT_ONE;
    if (!state->started) {
        take_first(base, state);
        return;
    }
    if (state->undoes_light)
        gain = light_find(base, &state->light);
    if (gain != LIGHT_ONE && relight(base, before, open, gain, state))
        return;
    if (state->undoes_shake) {
        moved = move_back(base, before, open, state->moved, state);
        if (moved)
            memcpy(base, state->moved, sizeof state->moved);
        shake_follow(base, moved, &state->shake);
    }
    if (state->undoes_light) {
        if (moved || gain != LIGHT_ONE)
            light_look(base, &state->light);
        light_follow(LIGHT_ONE, &state->light);
    }
}
