// Connected places of a map.

#include <algorithm>
#include <cstddef>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <tuple>

#include "core/image/mask.h"
#include "core/image/render.h"

namespace hfwa::image {
namespace {

struct Candidate {
  int label;
  Region region;
};

// Regions of all labels, without outlines.
std::vector<Candidate> Measure(const FloatMap& map, const cv::Mat& labels, const cv::Mat& stats,
                               double area_min) {
  std::vector<Candidate> all(static_cast<size_t>(stats.rows));
  for (int label = 1; label < stats.rows; ++label) {
    const int* row = stats.ptr<int>(label);
    all[static_cast<size_t>(label)] = {label,
                                       Region{.polygon = {},
                                              .x = row[cv::CC_STAT_LEFT],
                                              .y = row[cv::CC_STAT_TOP],
                                              .width = row[cv::CC_STAT_WIDTH],
                                              .height = row[cv::CC_STAT_HEIGHT],
                                              .area = static_cast<double>(row[cv::CC_STAT_AREA]),
                                              .peak = 0.0F,
                                              .peak_point = {-1, -1}}};
  }
  for (int y = 0; y < map.height; ++y) {
    const int* row = labels.ptr<int>(y);
    const float* values =
        map.values.data() + static_cast<size_t>(y) * static_cast<size_t>(map.width);
    for (int x = 0; x < map.width; ++x) {
      if (row[x] == 0) continue;
      Region& region = all[static_cast<size_t>(row[x])].region;
      if (region.peak_point.x < 0 || values[x] > region.peak) {
        region.peak = values[x];
        region.peak_point = {x, y};
      }
    }
  }
  std::erase_if(
      all, [area_min](const Candidate& c) { return c.label == 0 || c.region.area < area_min; });
  return all;
}

// Twice the signed area; positive where the points run clockwise as seen, y pointing down.
int64_t Turn(const std::vector<cv::Point>& points) {
  int64_t sum = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const cv::Point& a = points[i];
    const cv::Point& b = points[(i + 1) % points.size()];
    sum += int64_t{a.x} * b.y - int64_t{b.x} * a.y;
  }
  return sum;
}

// The outline of `label` through the centres of its outermost pixels, clockwise from the top.
std::vector<Point> Outline(const cv::Mat& labels, int label, const Region& region,
                           size_t points_max) {
  const cv::Rect box(region.x, region.y, region.width, region.height);
  const cv::Mat mask = labels(box) == label;
  std::vector<std::vector<cv::Point>> contours;
  cv::findContours(mask, contours, cv::RETR_EXTERNAL, cv::CHAIN_APPROX_SIMPLE, box.tl());
  if (contours.empty()) return {};
  std::vector<cv::Point> points = contours.front();  // one region has one outer contour
  const std::vector<cv::Point> full = points;
  for (double tolerance = 0.5; points.size() > points_max && tolerance < 1e6; tolerance *= 1.5) {
    cv::approxPolyDP(full, points, tolerance, /*closed=*/true);
  }
  if (Turn(points) < 0) std::reverse(points.begin(), points.end());
  std::rotate(points.begin(),
              std::min_element(points.begin(), points.end(),
                               [](const cv::Point& a, const cv::Point& b) {
                                 return std::tie(a.y, a.x) < std::tie(b.y, b.x);
                               }),
              points.end());
  std::vector<Point> out;
  out.reserve(points.size());
  for (const cv::Point& point : points) out.push_back({point.x, point.y});
  return out;
}

}  // namespace

std::vector<Region> FindRegions(const FloatMap& map, float threshold, double area_min,
                                int regions_max, int points_max) {
  if (map.values.empty() || regions_max < 1) return {};
  // A closed outline cannot be simplified below three points for certain.
  const size_t points = static_cast<size_t>(std::max(points_max, 3));
  std::vector<Region> regions;
  try {
    cv::Mat mask(map.height, map.width, CV_8UC1);
    for (int y = 0; y < map.height; ++y) {
      const float* values =
          map.values.data() + static_cast<size_t>(y) * static_cast<size_t>(map.width);
      uint8_t* row = mask.ptr<uint8_t>(y);
      for (int x = 0; x < map.width; ++x) row[x] = values[x] >= threshold ? 255 : 0;
    }
    cv::Mat labels;
    cv::Mat stats;
    cv::Mat centroids;
    cv::connectedComponentsWithStats(mask, labels, stats, centroids, /*connectivity=*/8, CV_32S);
    std::vector<Candidate> found = Measure(map, labels, stats, area_min);
    const auto by_peak = [](const Candidate& a, const Candidate& b) {
      return std::tuple(-a.region.peak, -a.region.area, a.label) <
             std::tuple(-b.region.peak, -b.region.area, b.label);
    };
    const size_t kept = std::min(found.size(), static_cast<size_t>(regions_max));
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(),
                      by_peak);
    for (size_t i = 0; i < kept; ++i) {
      found[i].region.polygon = Outline(labels, found[i].label, found[i].region, points);
      regions.push_back(std::move(found[i].region));
    }
  } catch (const cv::Exception&) {
    // Only memory can run out here; a reply without regions is still a reply.
    regions.clear();
  }
  return regions;
}

absl::StatusOr<RegionLabels> LabelRegions(absl::Span<const uint8_t> mask, int width, int height,
                                          int connectivity) {
  RegionLabels result;
  if (std::all_of(mask.begin(), mask.end(), [](uint8_t value) { return value == 0; })) {
    return result;
  }
  try {
    result.labels.resize(mask.size());
    // OpenCV takes no pointer to const, and writes to its output alone.
    const cv::Mat input(height, width, CV_8U, const_cast<uint8_t*>(mask.data()));
    cv::Mat labels(height, width, CV_32S, result.labels.data());
    result.count = cv::connectedComponents(input, labels, connectivity, CV_32S) - 1;
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(std::string("labelling regions: ") + error.what());
  }
  return result;
}

}  // namespace hfwa::image
