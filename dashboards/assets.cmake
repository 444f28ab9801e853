# Files that are embedded into the binary: the live page and Chart.js (Debian package libjs-chart.js).
# dashboards/assets.c takes their bytes with .incbin; this gives it the paths and the dependencies.
find_file(TN_CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist
          NO_DEFAULT_PATH)
if(NOT TN_CHART_JS)
  message(FATAL_ERROR "Chart.js is missing: the live page needs chart.min.js of the Debian package libjs-chart.js "
                      "(apt-get install libjs-chart.js), or give its path with -DTN_CHART_JS=…")
endif()
set(TN_PAGE_DIR ${CMAKE_SOURCE_DIR}/dashboards/page)
set_source_files_properties(dashboards/assets.c PROPERTIES
  COMPILE_DEFINITIONS "TN_PAGE_DIR=\"${TN_PAGE_DIR}\";TN_CHART_JS=\"${TN_CHART_JS}\""
  OBJECT_DEPENDS "${TN_PAGE_DIR}/index.html;${TN_PAGE_DIR}/style.css;${TN_PAGE_DIR}/app.js;${TN_PAGE_DIR}/console.js;${TN_PAGE_DIR}/icon.svg;${TN_CHART_JS}")
