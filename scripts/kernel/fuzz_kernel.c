/* Random images through ext/area.h, compared with a plain reference. scripts/kernel/fuzz_kernel.sh builds and runs it.
 *
 * libFuzzer calls LLVMFuzzerTestOneInput; with -DSTANDALONE there is a main instead that draws the inputs itself, for
 * compilers without libFuzzer: `fuzz_kernel CASES [SEED]`. Every buffer ends with its last byte, so that under
 * AddressSanitizer one byte read or written too many is found. Compile the kernel with -Dmalloc=fuzz_malloc
 * -Dcalloc=fuzz_calloc -Daligned_alloc=fuzz_aligned_alloc, and allocations fail now and then. */
#include "area.h"

#include "fuzz_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void *fuzz_malloc(size_t size);
void *fuzz_calloc(size_t count, size_t size);
void *fuzz_aligned_alloc(size_t alignment, size_t size);

/* ---- numbers drawn from the input, and noise ---- */

static const uint8_t *input;
static size_t input_left;
static uint64_t noise_state;

static unsigned draw(unsigned count) /* 0..count - 1; 0 when the input is used up */
{
    unsigned value = 0;

    for (int i = 0; i < 2 && input_left > 0; i++, input_left--)
        value = value << 8 | *input++;
    return value % count;
}

static uint32_t noise(void)
{
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return (uint32_t)(noise_state >> 32);
}

/* ---- allocations that fail ---- */

static int allocations_left = -1; /* before one fails; -1: none does */
static int has_failed;

static int fails(void)
{
    const int now = allocations_left >= 0 && allocations_left-- == 0;

    has_failed |= now;
    return now;
}

void *fuzz_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *fuzz_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

void *fuzz_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : aligned_alloc(alignment, size);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL)
        abort();
    return memory;
}

/* ---- images ---- */

enum { PLANES = 3 };

typedef struct {
    area_image image;
    uint8_t *buffers[PLANES];
    uint8_t *samples; /* of the region, unpacked */
} picture;

static int plane_rows(const area_geometry *g, int plane)
{
    return plane == 0 ? g->source_height : (g->source_height + 1) / 2;
}

static int plane_row_bytes(const area_geometry *g, int plane)
{
    const int half = (g->source_width + 1) / 2;

    switch (g->layout) {
    case AREA_THREE:
        return plane == 0 ? 3 * g->source_width : 0;
    case AREA_FOUR:
        return plane == 0 ? 4 * g->source_width : 0;
    case AREA_YUYV:
        return plane == 0 ? 2 * g->source_width : 0;
    case AREA_I420:
        return plane == 0 ? g->source_width : half;
    case AREA_NV12:
        return plane == 0 ? g->source_width : plane == 1 ? 2 * half : 0;
    default:
        return plane == 0 ? g->source_width : 0;
    }
}

static void fill(uint8_t *bytes, size_t count, unsigned kind)
{
    const uint32_t flat = noise();

    for (size_t i = 0; i < count; i++) {
        const uint32_t random = noise();

        bytes[i] = (uint8_t)(kind == 0   ? random
                             : kind == 1 ? (random & 1 ? 255 : 0)
                             : kind == 2 ? flat
                             : kind == 3 ? 255
                                         : (i + flat) & 1);
    }
}

static picture make_picture(const area_geometry *g)
{
    picture p = {0};

    for (int plane = 0; plane < PLANES && plane_row_bytes(g, plane) > 0; plane++) {
        const int rows = plane_rows(g, plane), bytes = plane_row_bytes(g, plane);
        const unsigned kind = draw(8), padding = draw(70);
        ptrdiff_t stride = kind < 3 ? bytes : kind == 3 ? (ptrdiff_t)padding % bytes : bytes + (ptrdiff_t)padding;
        const size_t size = (size_t)stride * (size_t)(rows - 1) + (size_t)bytes;

        p.buffers[plane] = allocate(size);
        fill(p.buffers[plane], size, draw(5));
        p.image.planes[plane] = p.buffers[plane];
        if (draw(3) == 0) { /* from the last row to the first */
            p.image.planes[plane] += stride * (rows - 1);
            stride = -stride;
        }
        p.image.strides[plane] = stride;
    }
    return p;
}

static void free_picture(picture *p)
{
    for (int plane = 0; plane < PLANES; plane++)
        free(p->buffers[plane]);
    free(p->samples);
}

/* Sample `c` of pixel (y, x): first to third byte, or Y, U, V. */
static int sample(const area_geometry *g, const area_image *image, int y, int x, int c)
{
    const int chroma_row = g->layout == AREA_YUYV ? y : y / 2;
    const uint8_t *row = image->planes[0] + y * image->strides[0];

    switch (g->layout) {
    case AREA_GREY:
        return row[x];
    case AREA_THREE:
        return row[3 * x + c];
    case AREA_FOUR:
        return row[4 * x + c];
    case AREA_YUYV:
        return c == 0 ? row[2 * x] : row[x / 2 * 4 + 2 * c - 1];
    case AREA_I420:
        return c == 0 ? row[x] : image->planes[c][chroma_row * image->strides[c] + x / 2];
    default:
        return c == 0 ? row[x] : image->planes[1][chroma_row * image->strides[1] + x / 2 * 2 + c - 1];
    }
}

/* The samples of the region, three for each pixel. */
static uint8_t *unpack(const area_geometry *g, const area_image *image)
{
    uint8_t *samples = allocate((size_t)g->region_height * (size_t)g->region_width * 3), *to = samples;

    for (int y = 0; y < g->region_height; y++)
        for (int x = 0; x < g->region_width; x++)
            for (int c = 0; c < 3; c++)
                *to++ = (uint8_t)sample(g, image, g->top + y, g->left + x, c);
    return samples;
}

/* ---- one case ---- */

static int draw_side(unsigned kind, int least)
{
    const unsigned most = kind < 24 ? 40 : kind < 30 ? 100 : kind == 30 ? 300 : AREA_MAX_SIDE;

    return least + (int)draw(most - (unsigned)least + 1);
}

static area_geometry draw_geometry(void)
{
    area_geometry g = {0};
    const unsigned rare = draw(256), kind = rare < 255 ? rare % 31 : 31;

    g.layout = (area_layout)draw(6);
    g.source_height = draw_side(kind, AREA_MIN_SOURCE);
    g.source_width = draw_side(kind == 31 ? draw(24) : kind, AREA_MIN_SOURCE);
    if (kind == 31 && draw(2) == 0) { /* one long side, either one */
        const int height = g.source_height;

        g.source_height = g.source_width;
        g.source_width = height;
    }
    if (g.layout == AREA_YUYV)
        g.source_width += g.source_width % 2;
    g.region_height = g.source_height;
    g.region_width = g.source_width;
    if (draw(2) == 0) {
        g.top = (int)draw((unsigned)g.source_height);
        g.left = (int)draw((unsigned)g.source_width);
        g.region_height = 1 + (int)draw((unsigned)(g.source_height - g.top));
        g.region_width = 1 + (int)draw((unsigned)(g.source_width - g.left));
    }
    g.height = draw(4) == 0 ? draw_side(draw(28), 1) : 1 + (int)draw(12);
    g.width = draw(4) == 0 ? draw_side(draw(28), 1) : 1 + (int)draw(20);
    if (draw(200) == 0) /* a wide output, of few rows */
        g.width = draw_side(31, 1), g.height = 1 + g.height % 4;
    return g;
}

static void report(const area_geometry *g, const picture *p, const area_output *output, int y, int x, int c)
{
    fprintf(stderr, "layout %d source %dx%d region %dx%d at row %d column %d to %dx%d, reversed %d, row stride %d,",
            (int)g->layout, g->source_height, g->source_width, g->region_height, g->region_width, g->top, g->left,
            g->height, g->width, output->reversed, (int)output->row_stride);
    fprintf(stderr, " plane strides %d %d %d: row %d column %d channel %d: ", (int)p->image.strides[0],
            (int)p->image.strides[1], (int)p->image.strides[2], y, x, c);
}

static void check_bytes(const area_geometry *g, area_plan *plan, const picture *p, const area_output *output)
{
    const size_t count = (size_t)output->row_stride * (size_t)(g->height - 1) + (size_t)g->width * 3;
    const uint8_t gap = (uint8_t)noise();
    uint8_t map[256], *out = allocate(count);

    fill(map, sizeof map, 0);
    for (int i = 0; i < 256 && gap & 1; i++)
        map[i] = (uint8_t)(i ^ 0x80);
    memset(out, gap, count);
    area_shrink_bytes(plan, &p->image, output, map, out);
    for (size_t i = 0; i < count; i++) {
        const int y = (int)(i / (size_t)output->row_stride), rest = (int)(i % (size_t)output->row_stride);
        uint8_t levels[3], want = gap;
        double exact[3];

        if (rest < g->width * 3) {
            if (rest % 3 == 0)
                reference(g, p->samples, output, y, rest / 3, levels, exact);
            want = map[levels[rest % 3]];
        }
        if (out[i] != want) {
            report(g, p, output, y, rest / 3, rest % 3);
            fprintf(stderr, "byte %d, must be %d\n", out[i], want);
            abort();
        }
    }
    free(out);
}

static void check_floats(const area_geometry *g, area_plan *plan, const picture *p, const area_output *output)
{
    const size_t count = (size_t)output->row_stride * (size_t)(g->height - 1) + (size_t)g->width * 3;
    const double gain[3] = {1.0 / 255, 1.0 / 255 / (0.1 + noise() % 8), 1}, bias[3] = {0, -(noise() % 8 / 8.0), 3};
    const float gap = -77777;
    float *out = allocate(count * sizeof *out);

    for (size_t i = 0; i < count; i++)
        out[i] = gap;
    area_shrink_floats(plan, &p->image, output, gain, bias, out);
    for (size_t i = 0; i < count; i++) {
        const int y = (int)(i / (size_t)output->row_stride), rest = (int)(i % (size_t)output->row_stride), c = rest % 3;
        uint8_t levels[3];
        double exact[3], want = (double)gap, allowed = 0;

        if (rest < g->width * 3) {
            if (c == 0)
                reference(g, p->samples, output, y, rest / 3, levels, exact);
            want = exact[c] * gain[c] + bias[c];
            allowed = 1e-4 * gain[c] + 0x1p-22 * fabs(bias[c]);
        }
        if (!(fabs((double)out[i] - want) <= allowed)) {
            report(g, p, output, y, rest / 3, c);
            fprintf(stderr, "float %.9g, must be %.9g\n", (double)out[i], want);
            abort();
        }
    }
    free(out);
}

static void check_matrix(const area_yuv *m, double red, double blue, int full_range)
{
    const double green = 1 - red - blue, chroma = full_range ? 1 : 255.0 / 224;
    const double got[] = {m->black, m->luma, m->red_v, m->green_u, m->green_v, m->blue_u};
    const double want[] = {full_range ? 0 : 16,
                           full_range ? 1 : 255.0 / 219,
                           chroma * 2 * (1 - red),
                           chroma * -2 * (1 - blue) * blue / green,
                           chroma * -2 * (1 - red) * red / green,
                           chroma * 2 * (1 - blue)};

    for (int i = 0; i < 6; i++)
        if (!(fabs(got[i] - want[i]) < 1e-12)) {
            fprintf(stderr, "YUV coefficient %d is %.17g, must be %.17g\n", i, got[i], want[i]);
            abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    area_geometry g;
    area_output output = {0};
    area_plan *plan;

    input = data;
    input_left = size;
    g = draw_geometry();
    output.reversed = (int)draw(2);
    output.row_stride = g.width * 3 + (draw(2) ? 0 : (ptrdiff_t)draw(40));
    {
        const int bt709 = (int)draw(2), full_range = (int)draw(2);
        const double red = bt709 ? 0.2126 : 0.299, blue = bt709 ? 0.0722 : 0.114;

        output.yuv = area_yuv_matrix(red, blue, full_range);
        check_matrix(&output.yuv, red, blue, full_range);
    }
    allocations_left = draw(16) == 0 ? (int)draw(12) : -1;
    has_failed = 0;
    plan = area_plan_create(&g);
    if ((plan == NULL) != has_failed)
        abort();
    allocations_left = -1;
    for (int i = 0; plan != NULL && i < 2; i++) { /* a plan keeps nothing of the image before */
        picture p;

        noise_state = 0x9e3779b97f4a7c15u + ((uint64_t)draw(65536) << 32) + size;
        p = make_picture(&g);
        p.samples = unpack(&g, &p.image);
        if (i == (int)draw(2))
            check_floats(&g, plan, &p, &output);
        else
            check_bytes(&g, plan, &p, &output);
        free_picture(&p);
    }
    area_plan_destroy(plan);
    return 0;
}

#ifdef STANDALONE
int main(int argc, char **argv)
{
    const long cases = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (long done = 0; done < cases; done++) {
        uint8_t data[96];

        noise_state = state = state * 6364136223846793005u + 1442695040888963407u;
        noise_state |= 1;
        fill(data, sizeof data, 0);
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
    printf("%ld cases without a finding\n", cases);
    return cases > 0 ? 0 : 2;
}
#endif
