#include "client/cli/judge.h"

#include <nlohmann/json.hpp>
#include <ostream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/overlay.h"
#include "client/cli/text.h"
#include "client/error.h"

namespace hfwa::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kRed[] = "\033[31m";
constexpr char kGreen[] = "\033[32m";
constexpr char kYellow[] = "\033[33m";
constexpr char kPlain[] = "\033[0m";
constexpr size_t kVerdictWidth = 11;

double Milliseconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6;
}

// Without the enum's zero value's prefix: "UNSPECIFIED".
std::string VerdictName(v1::DetectResponse::Verdict verdict) {
  switch (verdict) {
    case v1::DetectResponse::GOOD:
      return "GOOD";
    case v1::DetectResponse::ANOMALOUS:
      return "ANOMALOUS";
    default:
      return "UNSPECIFIED";
  }
}

// Invalid UTF-8, such as in a file's name, becomes U+FFFD.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json RegionsJson(const v1::DetectResponse& response) {
  Json regions = Json::array();
  for (const v1::Region& region : response.regions()) {
    Json polygon = Json::array();
    for (const auto& point : region.polygon()) polygon.push_back({point.x(), point.y()});
    regions.push_back({{"x", region.x()},
                       {"y", region.y()},
                       {"width", region.width()},
                       {"height", region.height()},
                       {"area", region.area()},
                       {"peak", region.peak()},
                       {"polygon", std::move(polygon)}});
  }
  return regions;
}

}  // namespace

struct Judge::Pending {
  size_t index = 0;
  std::filesystem::path path;
  std::string name;     // Of output files, without suffix.
  std::string picture;  // The file's bytes, where an overlay is wanted.
  absl::Time sent;
};

Judge::Judge(const Context& context, client::Client& client, JudgeOptions options)
    : context_(context), options_(std::move(options)) {
  client::DetectStreamOptions stream;
  stream.deadline = context.Call().deadline;
  stream.cancel = context.interrupt;
  stream_ = client.OpenDetectStream(stream);
  if (!context_.json) {
    context_.terminal.out << PadRight("FILE", options_.name_width) << "  SCORE   "
                          << PadRight("VERDICT", kVerdictWidth) << "  THRESHOLD  MS\n";
  }
}

Judge::~Judge() = default;

void Judge::Submit(const std::filesystem::path& file) {
  auto pending = std::make_shared<Pending>();
  pending->index = submitted_++;
  pending->path = file;
  pending->sent = absl::Now();
  absl::StatusOr<v1::Image> image = client::ImageFromFile(file);
  if (!image.ok()) return Answer(*pending, image.status());

  v1::DetectRequest request;
  request.set_product(client::ProductName(options_.product));
  if (!options_.out.empty()) {
    pending->name = names_.For(file);
    pending->picture = image->content();
    request.mutable_outputs()->set_map(true);
    request.mutable_outputs()->set_map_format(v1::PNG_COLOR);
    request.mutable_outputs()->set_map_size(v1::IMAGE);
  }
  request.mutable_outputs()->set_regions(context_.json);
  if (options_.bulk) request.set_priority(v1::BULK);
  *request.mutable_image() = *std::move(image);
  stream_->Send(std::move(request), [this, pending](absl::StatusOr<v1::DetectResponse> response) {
    Answer(*pending, std::move(response));
  });
}

size_t Judge::Outstanding() {
  absl::MutexLock lock(&mu_);
  return submitted_ - answered_;
}

void Judge::Answer(const Pending& file, absl::StatusOr<v1::DetectResponse> response) {
  const absl::Duration round_trip = absl::Now() - file.sent;
  std::string line = response.ok() ? Row(file, *response, Save(file, *response), round_trip)
                                   : FailedRow(file, response.status());
  absl::MutexLock lock(&mu_);
  ++answered_;
  if (!response.ok() && context_.interrupt.stop_requested()) {
    ++cancelled_;
    return Print(file.index, "");
  }
  if (!response.ok()) {
    ++failed_;
    unavailable_ += absl::IsUnavailable(response.status());
  } else if (response->verdict() == v1::DetectResponse::GOOD) {
    ++good_;
  } else if (response->verdict() == v1::DetectResponse::ANOMALOUS) {
    ++anomalous_;
  } else {
    ++without_verdict_;
  }
  Print(file.index, std::move(line));
}

Judge::Saved Judge::Save(const Pending& file, const v1::DetectResponse& response) {
  Saved saved;
  if (options_.out.empty() || !response.has_map()) return saved;
  const std::filesystem::path heatmap = options_.out / (file.name + ".heatmap.png");
  const std::filesystem::path overlay = options_.out / (file.name + ".overlay.png");
  if (absl::Status status = WriteFile(heatmap, response.map().data()); !status.ok()) {
    Note(Explain(status));
    return saved;
  }
  saved.heatmap = heatmap.string();
  const absl::StatusOr<std::string> png = MakeOverlay(file.picture, response.map().data());
  const absl::Status status = png.ok() ? WriteFile(overlay, *png) : png.status();
  if (status.ok()) {
    saved.overlay = overlay.string();
  } else {
    Note(absl::StrCat("no overlay of ", Printable(file.path.string()), ": ", Explain(status)));
  }
  return saved;
}

std::string Judge::Row(const Pending& file, const v1::DetectResponse& response, const Saved& saved,
                       absl::Duration round_trip) const {
  const double server_ms = Milliseconds(response.times().total());
  const std::string verdict = VerdictName(response.verdict());
  if (context_.json) {
    Json json{{"file", file.path.string()}, {"score", response.score()}, {"verdict", verdict}};
    if (response.has_threshold()) json["threshold"] = response.threshold();
    json["calibration_state"] = v1::Product::CalibrationState_Name(response.calibration_state());
    json["method"] = v1::DetectResponse::Method_Name(response.method());
    if (response.raw().has_text_probability()) {
      json["text_probability"] = response.raw().text_probability();
    }
    json["map_max"] = response.raw().map_max();
    if (response.raw().has_top_patches()) json["top_patches"] = response.raw().top_patches();
    json["regions"] = RegionsJson(response);
    json["product_revision"] = response.product_revision();
    json["model_digest"] = response.model_digest();
    json["image_width"] = response.image_width();
    json["image_height"] = response.image_height();
    const auto& times = response.times();
    json["stages_ms"] = {
        {"decode", Milliseconds(times.decode())}, {"preprocess", Milliseconds(times.preprocess())},
        {"queue", Milliseconds(times.queue())},   {"encode", Milliseconds(times.encode())},
        {"match", Milliseconds(times.match())},   {"score", Milliseconds(times.score())},
        {"render", Milliseconds(times.render())}};
    json["server_ms"] = server_ms;
    json["round_trip_ms"] = absl::ToDoubleMilliseconds(round_trip);
    if (!saved.heatmap.empty()) json["heatmap"] = saved.heatmap;
    if (!saved.overlay.empty()) json["overlay"] = saved.overlay;
    return Dump(json);
  }
  std::string shown = PadRight(verdict, kVerdictWidth);
  if (context_.terminal.color) {
    const char* color = verdict == "GOOD" ? kGreen : verdict == "ANOMALOUS" ? kRed : kYellow;
    shown = absl::StrCat(color, shown, kPlain);
  }
  const std::string threshold =
      response.has_threshold() ? absl::StrFormat("%.4f", response.threshold()) : "-";
  return absl::StrFormat("%s  %.4f  %s  %s  %.1f",
                         PadRight(Printable(file.path.string()), options_.name_width),
                         response.score(), shown, PadRight(threshold, 9), server_ms);
}

std::string Judge::FailedRow(const Pending& file, const absl::Status& status) const {
  if (context_.json) {
    return Dump(Json{{"file", file.path.string()},
                     {"error",
                      {{"code", absl::StatusCodeToString(status.code())},
                       {"reason", client::DetailsOf(status).reason},
                       {"message", std::string(status.message())}}}});
  }
  std::string shown = PadRight("FAILED", kVerdictWidth);
  if (context_.terminal.color) shown = absl::StrCat(kYellow, shown, kPlain);
  return absl::StrCat(PadRight(Printable(file.path.string()), options_.name_width), "  -       ",
                      shown, "  ", Explain(status));
}

void Judge::Print(size_t index, std::string line) {
  if (!options_.in_order) {
    PrintLine(line);
  } else {
    held_back_[index] = std::move(line);
    for (auto next = held_back_.begin(); next != held_back_.end() && next->first == next_line_;
         next = held_back_.erase(next), ++next_line_) {
      PrintLine(next->second);
    }
  }
  ShowProgress();
}

void Judge::PrintLine(const std::string& line) {
  if (line.empty()) return;
  ClearProgress();
  context_.terminal.out << line << "\n" << std::flush;
}

void Judge::Note(const std::string& text) {
  absl::MutexLock lock(&mu_);
  ClearProgress();
  context_.terminal.err << "hfwa: " << text << "\n";
  ShowProgress();
}

void Judge::ClearProgress() {
  if (context_.ShowsProgress()) context_.terminal.err << "\r\033[K" << std::flush;
}

void Judge::ShowProgress() {
  if (!context_.ShowsProgress()) return;
  ClearProgress();
  context_.terminal.err << answered_;
  if (options_.total > 0) context_.terminal.err << "/" << options_.total;
  context_.terminal.err << " judged, " << anomalous_ << " anomalous" << std::flush;
}

std::string Judge::Summary() {
  const size_t judged = good_ + anomalous_ + without_verdict_;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - started_);
  std::string text = absl::StrCat(judged, judged == 1 ? " file" : " files", " judged: ", good_,
                                  " good, ", anomalous_, " anomalous");
  if (without_verdict_ > 0) absl::StrAppend(&text, ", ", without_verdict_, " without verdict");
  if (failed_ > 0) absl::StrAppend(&text, "; ", failed_, " failed");
  if (cancelled_ > 0) absl::StrAppend(&text, "; ", cancelled_, " interrupted");
  absl::StrAppendFormat(&text, "; %.1f s", seconds);
  return text;
}

int Judge::Finish() {
  (void)stream_->Finish();  // Each file's error came with its answer.
  absl::MutexLock lock(&mu_);
  ClearProgress();
  (context_.json ? context_.terminal.err : context_.terminal.out) << Summary() << "\n"
                                                                  << std::flush;
  if (failed_ > 0) {
    return unavailable_ == failed_ && good_ + anomalous_ + without_verdict_ == 0 ? kUnavailable
                                                                                 : kFailed;
  }
  return options_.exit_code && anomalous_ > 0 ? kAnomalous : kOk;
}

}  // namespace hfwa::cli
