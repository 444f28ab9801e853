/* Embedded files by .incbin: their bytes stand in the read-only data of the binary, so that a
 * running tarn needs no file beside it. Paths come from dashboards/assets.cmake.
 */
#include "dashboards/assets.h"

#include <pthread.h>
#include <stdio.h>

#include "stream/base/hash.h"

#define EMBED(name, path)                                                                          \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 16\n" #name ":\n"                                                             \
            ".incbin \"" path "\"\n" #name "_end:\n"                                               \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const char name[] __asm__(#name);                                                       \
    extern const char name##_end[] __asm__(#name "_end")

EMBED(tni_page_index_html, TN_PAGE_DIR "/index.html");
EMBED(tni_page_style_css, TN_PAGE_DIR "/style.css");
EMBED(tni_page_app_js, TN_PAGE_DIR "/app.js");
EMBED(tni_page_console_js, TN_PAGE_DIR "/console.js");
EMBED(tni_page_icon_svg, TN_PAGE_DIR "/icon.svg");
EMBED(tni_page_chart_js, TN_CHART_JS);

static struct tni_asset assets[] = {
    {"/", "text/html; charset=utf-8", {tni_page_index_html, 0}, ""},
    {"/assets/style.css", "text/css; charset=utf-8", {tni_page_style_css, 0}, ""},
    {"/assets/app.js", "text/javascript; charset=utf-8", {tni_page_app_js, 0}, ""},
    {"/assets/console.js", "text/javascript; charset=utf-8", {tni_page_console_js, 0}, ""},
    {"/assets/chart.js", "text/javascript; charset=utf-8", {tni_page_chart_js, 0}, ""},
    {"/assets/icon.svg", "image/svg+xml", {tni_page_icon_svg, 0}, ""},
};
#define ASSETS_COUNT (sizeof assets / sizeof *assets)

static const char *const ends[ASSETS_COUNT] = {tni_page_index_html_end, tni_page_style_css_end,
                                               tni_page_app_js_end,     tni_page_console_js_end,
                                               tni_page_chart_js_end,   tni_page_icon_svg_end};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void assets_init(void)
{
    for (size_t i = 0; i < ASSETS_COUNT; i++) {
        assets[i].body.len = (size_t)(ends[i] - assets[i].body.ptr);
        snprintf(assets[i].etag, sizeof assets[i].etag, "\"%08x\"",
                 tn_crc32c(0, assets[i].body.ptr, assets[i].body.len));
    }
}

const struct tni_asset *tni_assets(size_t *ret_count)
{
    pthread_once(&once, assets_init);
    *ret_count = ASSETS_COUNT;
    return assets;
}
