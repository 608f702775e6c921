// The command as its user meets it: arguments in, text, files and exit code out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
// Needs what stdio.h declares.
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/files.h"
#include "client/cli/overlay.h"
#include "client/cli/run.h"
#include "client/cli/text.h"
#include "tests/client/fake_server.h"

namespace hfwa::cli {
namespace {

namespace fs = std::filesystem;
using client::Behaviour;
using client::FakeServer;
using client::kPatience;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Hfwa(const std::vector<std::string>& arguments, std::stop_token interrupt = {},
             bool color = false) {
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{.out = out, .err = err, .color = color, .progress = false};
  const int code = Run(arguments, terminal, std::move(interrupt));
  return {code, out.str(), err.str()};
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::string ReadAll(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What a stream was given, for waiting until it holds something.
class WatchedText final : public std::stringbuf {
 public:
  bool WaitFor(const std::string& part) {
    absl::MutexLock lock(&mu_);
    const auto holds = [&] { return flushed_.find(part) != std::string::npos; };
    return mu_.AwaitWithTimeout(absl::Condition(&holds), kPatience) || (Complain(part), false);
  }
  std::string text() {
    absl::MutexLock lock(&mu_);
    return flushed_;
  }

 protected:
  int sync() override {
    absl::MutexLock lock(&mu_);
    flushed_ = str();
    return 0;
  }

 private:
  void Complain(const std::string& part) {
    ADD_FAILURE() << "waited in vain for '" << part << "' in: " << flushed_;
  }
  absl::Mutex mu_;
  std::string flushed_;
};

// A folder of the test's own, gone with it.
class Folder {
 public:
  Folder() {
    std::string name = absl::StrCat(::testing::TempDir(), "/hfwa_cli_XXXXXX");
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string Write(const std::string& name, const std::string& bytes) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// An RGB PNG of one colour.
std::string Png(uint32_t width, uint32_t height, uint8_t value) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.format = PNG_FORMAT_RGB;
  image.width = width;
  image.height = height;
  const std::string pixels(size_t{3} * width * height, static_cast<char>(value));
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  EXPECT_NE(png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr),
            0);
  bytes.resize(size);
  return bytes;
}

std::vector<uint8_t> PngPixels(const std::string& bytes, uint32_t& width, uint32_t& height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()), 0);
  image.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  width = image.width;
  height = image.height;
  return pixels;
}

// A grey 32 x 16 JPEG, white but for its black upper left quarter, with an EXIF orientation.
std::string QuarterJpeg(char orientation) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = 32;
  info.image_height = 16;
  info.input_components = 1;
  info.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&info);
  jpeg_start_compress(&info, TRUE);
  std::string exif("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0?\0\0\0\0\0\0", 32);
  exif[exif.find('?')] = orientation;
  jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                    static_cast<unsigned>(exif.size()));
  std::string upper = std::string(16, '\0') + std::string(16, '\xff');
  std::string lower(32, '\xff');
  while (info.next_scanline < info.image_height) {
    std::string& line = info.next_scanline < 8 ? upper : lower;
    JSAMPROW row = reinterpret_cast<JSAMPROW>(line.data());
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string jpeg(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&info);
  free(bytes);
  return jpeg;
}

Behaviour Judging() {
  Behaviour behaviour;
  behaviour.detect_stream = client::JudgeStream;
  return behaviour;
}

TEST(CliTest, detect_prints_table_in_order_of_files) {
  FakeServer server(Judging());
  Folder folder;
  folder.Write("b/bad.png", "bad part");
  folder.Write("a/good.JPG", "good part");
  folder.Write("a/notes.txt", "no picture");
  folder.Write(".cache/x.png", "hidden");
  const Outcome outcome =
      Hfwa({"--server", server.target(), "detect", "bolt", folder.path().string()});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 4u) << outcome.out;
  EXPECT_THAT(lines[0], HasSubstr("SCORE   VERDICT      THRESHOLD  MS"));
  EXPECT_THAT(lines[1], HasSubstr("a/good.JPG  0.1000  GOOD         0.5000     12.3"));
  EXPECT_THAT(lines[2], HasSubstr("b/bad.png   0.9000  ANOMALOUS    0.5000     12.3"));
  EXPECT_THAT(lines[3], HasSubstr("2 files judged: 1 good, 1 anomalous; "));
}

TEST(CliTest, detect_prints_one_json_object_a_line_when_asked) {
  FakeServer server(Judging());
  Folder folder;
  const std::string good = folder.Write("good.png", "good");
  const std::string bad = folder.Write(
      "b\xff"
      "ad.png",
      "bad");
  const Outcome outcome =
      Hfwa({"detect", "bolt", good, bad, "--json", "--server", server.target(), "--exit-code"});
  EXPECT_EQ(outcome.code, kAnomalous) << outcome.err;
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 2u) << outcome.out;
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["file"], good);
  EXPECT_EQ(first["verdict"], "GOOD");
  EXPECT_EQ(first["score"], 0.1);
  EXPECT_EQ(first["threshold"], 0.5);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["verdict"], "ANOMALOUS");
  EXPECT_THAT(outcome.err, HasSubstr("2 files judged"));
}

TEST(CliTest, detect_exits_2_and_goes_on_when_one_file_fails) {
  Behaviour behaviour = Judging();
  behaviour.detect_stream = [](auto&, client::DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    while (stream.Read(&request)) {
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      if (request.request().image().content() == "junk") {
        *response.mutable_error() = client::RichError(3, "no \033[31mimage", "UNKNOWN_FORMAT");
      } else {
        client::JudgeByContent(request.request(), *response.mutable_response());
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  Folder folder;
  const std::string junk = folder.Write("junk.png", "junk");
  const std::string empty = folder.Write("empty.png", "");
  const std::string good = folder.Write("good.png", "good");
  const Outcome outcome =
      Hfwa({"detect", "bolt", junk, empty, good, "--server", server.target(), "--exit-code"});
  EXPECT_EQ(outcome.code, kFailed);
  EXPECT_THAT(outcome.out, HasSubstr("INVALID_ARGUMENT: no \\x1b[31mimage [UNKNOWN_FORMAT]"));
  EXPECT_THAT(outcome.out, HasSubstr("empty.png is empty"));
  EXPECT_THAT(outcome.out, HasSubstr("1 file judged: 1 good, 0 anomalous; 2 failed"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\033")));
}

TEST(CliTest, detect_colours_verdicts_only_when_terminal_bears_it) {
  FakeServer server(Judging());
  Folder folder;
  const std::vector<std::string> arguments{"detect", "bolt", folder.Write("bad.png", "bad"),
                                           "--server", server.target()};
  EXPECT_THAT(Hfwa(arguments, {}, true).out, HasSubstr("\033[31mANOMALOUS"));
  EXPECT_THAT(Hfwa(arguments, {}, false).out, Not(HasSubstr("\033")));
}

TEST(CliTest, detect_writes_heatmap_and_overlay) {
  const std::string heat = Png(3, 2, 200);
  Behaviour behaviour;
  v1::DetectOutputs outputs;
  behaviour.detect_stream = [&](auto&, client::DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    while (stream.Read(&request)) {
      outputs = request.request().outputs();
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      response.mutable_response()->mutable_map()->set_data(heat);
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  Folder folder;
  const std::string first = folder.Write("a/part.png", Png(3, 2, 100));
  const std::string second = folder.Write("b/part.png", Png(4, 2, 100));
  const fs::path out = folder.path() / "out";
  const Outcome outcome = Hfwa({"detect", "bolt", first, second, "--out", out.string(), "--server",
                                server.target(), "--no-progress"});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(outputs.map_format(), v1::PNG_COLOR);
  EXPECT_EQ(outputs.map_size(), v1::IMAGE);
  EXPECT_EQ(ReadAll(out / "part.heatmap.png"), heat);
  EXPECT_EQ(ReadAll(out / "part-2.heatmap.png"), heat);
  uint32_t width = 0;
  uint32_t height = 0;
  const auto pixels = PngPixels(ReadAll(out / "part.overlay.png"), width, height);
  EXPECT_EQ(width, 3u);
  EXPECT_EQ(height, 2u);
  EXPECT_THAT(pixels, ::testing::Each(145));  // 100 and 200 mixed 141 to 115
  // A heatmap of another size is stretched over its picture.
  const auto stretched = PngPixels(ReadAll(out / "part-2.overlay.png"), width, height);
  EXPECT_EQ(width, 4u);
  EXPECT_THAT(stretched, ::testing::Each(145));
}

TEST(CliTest, detect_exits_69_when_no_server_runs) {
  std::string target;
  {
    FakeServer server{Behaviour()};
    target = server.target();
  }
  Folder folder;
  const Outcome outcome =
      Hfwa({"detect", "bolt", folder.Write("good.png", "x"), "--server", target});
  EXPECT_EQ(outcome.code, kUnavailable);
  EXPECT_THAT(outcome.err, HasSubstr("is a server running at"));
}

TEST(CliTest, detect_fails_once_when_product_is_unknown) {
  Behaviour behaviour = Judging();
  behaviour.get_product = [](const auto&, auto&) {
    return client::ToGrpc(client::RichError(5, "no product bolt", "PRODUCT_NOT_FOUND"));
  };
  FakeServer server(behaviour);
  Folder folder;
  const Outcome outcome =
      Hfwa({"detect", "bolt", folder.Write("good.png", "x"), "--server", server.target()});
  EXPECT_EQ(outcome.code, kFailed);
  EXPECT_EQ(outcome.err, "hfwa: bolt: NOT_FOUND: no product bolt [PRODUCT_NOT_FOUND]\n");
  EXPECT_EQ(outcome.out, "");
}

TEST(CliTest, detect_exits_130_when_interrupted) {
  std::stop_source stop;
  Behaviour behaviour;
  behaviour.detect_stream = [&](grpc::ServerContext& context, client::DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    stream.Read(&request);
    stop.request_stop();
    client::WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  FakeServer server(behaviour);
  Folder folder;
  for (int i = 0; i < 40; ++i) folder.Write(absl::StrCat(i, ".png"), "x");
  const Outcome outcome = Hfwa(
      {"detect", "bolt", folder.path().string(), "--server", server.target()}, stop.get_token());
  EXPECT_EQ(outcome.code, kInterrupted);
  EXPECT_THAT(outcome.out, HasSubstr("0 files judged: 0 good, 0 anomalous; "));
  EXPECT_THAT(outcome.out, HasSubstr("interrupted"));
}

TEST(CliTest, watch_judges_files_that_are_written_or_moved_in) {
  Folder folder;
  Folder elsewhere;
  folder.Write("old.png", "good, but there before");
  std::stop_source stop;
  std::atomic<int> judged = 0;
  Behaviour behaviour;
  behaviour.detect_stream = [&](auto&, client::DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    while (stream.Read(&request)) {
      v1::DetectStreamResponse response;
      response.set_id(request.id());
      client::JudgeByContent(request.request(), *response.mutable_response());
      stream.Write(response);
      ++judged;
    }
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);

  WatchedText out;
  WatchedText err;
  std::ostream out_stream(&out);
  std::ostream err_stream(&err);
  Terminal terminal{.out = out_stream, .err = err_stream};
  int code = -1;
  std::thread command([&] {
    code = cli::Run(
        {"watch", "bolt", folder.path().string(), "--server", server.target(), "--exit-code"},
        terminal, stop.get_token());
  });
  ASSERT_TRUE(err.WaitFor("watching"));
  folder.Write("new.png", "good");
  folder.Write("notes.txt", "good");
  fs::rename(elsewhere.Write("moved.png", "bad"), folder.path() / "moved.png");
  EXPECT_TRUE(out.WaitFor("new.png"));
  EXPECT_TRUE(out.WaitFor("moved.png"));
  stop.request_stop();
  command.join();
  EXPECT_EQ(code, kAnomalous);
  EXPECT_EQ(judged, 2);
  EXPECT_THAT(out.text(), Not(HasSubstr("old.png")));
  EXPECT_THAT(out.text(), HasSubstr("2 files judged: 1 good, 1 anomalous"));
}

TEST(CliTest, watch_ends_by_itself_when_idle) {
  Folder folder;
  FakeServer server(Judging());
  const Outcome outcome = Hfwa({"watch", "bolt", folder.path().string(), "--once-idle", "0.05",
                                "--server", server.target()});
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_THAT(outcome.out, HasSubstr("0 files judged"));
}

TEST(CliTest, watch_ends_with_summary_when_interrupted) {
  Folder folder;
  folder.Write("here.png", "good");
  std::stop_source stop;
  Behaviour behaviour;
  behaviour.detect_stream = [&](grpc::ServerContext& context, client::DetectServerStream& stream) {
    v1::DetectStreamRequest request;
    stream.Read(&request);
    stop.request_stop();
    client::WaitForCancel(context);
    return grpc::Status::CANCELLED;
  };
  FakeServer server(behaviour);
  const Outcome outcome =
      Hfwa({"watch", "bolt", folder.path().string(), "--existing", "--server", server.target()},
           stop.get_token());
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_THAT(outcome.out, HasSubstr("0 files judged: 0 good, 0 anomalous; 1 interrupted"));
}

TEST(CliTest, watch_refuses_to_write_into_the_watched_folder) {
  FakeServer server(Judging());
  Folder folder;
  const std::string path = folder.path().string();
  EXPECT_EQ(Hfwa({"watch", "bolt", path, "--out", path, "--server", server.target()}).code, kUsage);
}

TEST(CliTest, product_create_sends_fields_and_prints_json) {
  Behaviour behaviour;
  v1::CreateProductRequest seen;
  const auto create = behaviour.create_product;
  behaviour.create_product = [&](auto& context, const auto& request, auto& product) {
    seen = request;
    return create(context, request, product);
  };
  FakeServer server(behaviour);
  const Outcome outcome =
      Hfwa({"product", "create", "bolt", "--class-name", "metal_nut", "--label", "line=3",
            "--label", "site=A", "--threshold", "0.6", "--json", "--server", server.target()});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(seen.product_id(), "bolt");
  EXPECT_EQ(seen.product().labels().at("line"), "3");
  EXPECT_EQ(seen.product().labels().at("site"), "A");
  EXPECT_EQ(seen.product().threshold(), 0.6);
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["class_name"], "metal_nut");
}

TEST(CliTest, product_update_names_only_what_was_given) {
  Behaviour behaviour;
  v1::UpdateProductRequest seen;
  behaviour.update_product = [&](const auto& request, auto& product) {
    seen = request;
    product = request.product();
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  EXPECT_EQ(
      Hfwa({"product", "update", "bolt", "--auto-threshold", "--server", server.target()}).code,
      kOk);
  EXPECT_THAT(seen.update_mask().paths(), ElementsAre("threshold"));
  EXPECT_FALSE(seen.product().has_threshold());
  const auto turned =
      Hfwa({"product", "update", "bolt", "--method", "anomaly-dino", "--server", server.target()});
  EXPECT_EQ(turned.code, kOk) << turned.err;
  EXPECT_THAT(seen.update_mask().paths(), ElementsAre("method"));
  EXPECT_EQ(seen.product().method(), v1::Product::ANOMALY_DINO);
  EXPECT_THAT(turned.out, ::testing::ContainsRegex("method +anomaly-dino"));
  EXPECT_EQ(Hfwa({"product", "update", "bolt", "--method", "other"}).code, kUsage);
  EXPECT_EQ(Hfwa({"product", "update", "bolt", "--server", server.target()}).code, kUsage);
}

TEST(CliTest, reference_add_exits_2_when_one_is_refused) {
  Behaviour behaviour;
  behaviour.add_references = [](auto& reader, v1::AddReferencesResponse& response) {
    v1::AddReferencesRequest message;
    reader.Read(&message);
    for (int i = 0; reader.Read(&message); ++i) {
      auto& result = *response.add_results();
      result.set_index(i);
      if (message.item().image().content() == "junk") {
        result.set_outcome(v1::AddReferencesResponse::Result::REFUSED);
        *result.mutable_error() = client::RichError(3, "not an image", "UNKNOWN_FORMAT");
      } else {
        result.set_outcome(v1::AddReferencesResponse::Result::ADDED);
        result.mutable_reference()->set_name("products/bolt/references/r1234");
      }
    }
    response.mutable_product()->set_name("products/bolt");
    response.mutable_product()->set_reference_count(1);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  Folder folder;
  folder.Write("1.png", "good");
  folder.Write("2.png", "junk");
  const Outcome outcome =
      Hfwa({"reference", "add", "bolt", folder.path().string(), "--server", server.target()});
  EXPECT_EQ(outcome.code, kFailed) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1.png  ADDED    r1234"));
  EXPECT_THAT(outcome.out, HasSubstr("2.png  REFUSED  INVALID_ARGUMENT: not an image"));
  EXPECT_THAT(outcome.out, HasSubstr("bolt: 1 references"));
}

TEST(CliTest, health_exits_69_when_server_does_not_serve) {
  Behaviour behaviour;
  FakeServer serving(behaviour);
  EXPECT_EQ(Hfwa({"health", "--server", serving.target()}).out, "SERVING\n");
  behaviour.serving = false;
  FakeServer draining(behaviour);
  const Outcome outcome = Hfwa({"health", "--json", "--server", draining.target()});
  EXPECT_EQ(outcome.code, kUnavailable);
  EXPECT_EQ(outcome.out, "{\"status\":\"NOT_SERVING\"}\n");
}

TEST(CliTest, server_comes_from_environment_unless_given) {
  Behaviour behaviour;
  FakeServer server(behaviour);
  setenv("HFWA_SERVER", server.target().c_str(), 1);
  EXPECT_EQ(Hfwa({"health"}).code, kOk);
  EXPECT_EQ(Hfwa({"health", "--server", "127.0.0.1:1"}).code, kUnavailable);
  unsetenv("HFWA_SERVER");
}

TEST(CliTest, usage_errors_exit_64) {
  EXPECT_EQ(Hfwa({}).code, kUsage);
  EXPECT_EQ(Hfwa({"detect", "bolt"}).code, kUsage);
  EXPECT_EQ(Hfwa({"frobnicate"}).code, kUsage);
  EXPECT_EQ(Hfwa({"health", "--deadline", "soon"}).code, kUsage);
  EXPECT_EQ(Hfwa({"health", "--deadline", "-1"}).code, kUsage);
  EXPECT_EQ(Hfwa({"product", "create", "x", "--threshold", "2"}).code, kUsage);
  EXPECT_EQ(Hfwa({"product", "delete", "x"}).code, kUsage) << "needs --yes";
  EXPECT_EQ(Hfwa({"--help"}).code, kOk);
  EXPECT_EQ(Hfwa({"--version"}).code, kOk);
}

TEST(CliTest, completion_scripts_name_every_command) {
  const std::vector<std::string> words{
      "product",   "create",    "list",        "show",       "update",
      "delete",    "reference", "add",         "get",        "detect",
      "watch",     "model",     "health",      "completion", "threshold-exit-code",
      "once-idle", "bench",     "find-goodput"};
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = Hfwa({"completion", shell});
    EXPECT_EQ(outcome.code, kOk);
    for (const std::string& word : words) EXPECT_THAT(outcome.out, HasSubstr(word)) << shell;
  }
}

TEST(CliTest, bash_completion_completes_by_place) {
  Folder folder;
  const std::string script = folder.Write("hfwa.bash", Hfwa({"completion", "bash"}).out);
  const std::string check =
      folder.Write("check.bash", absl::StrCat("set -eu; bash -n ", script, "; source ", script,
                                              "\n"
                                              "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - "
                                              "1)); _hfwa; echo \"${COMPREPLY[*]}\"; }\n"
                                              "try hfwa pro\ntry hfwa product ''\ntry hfwa --json "
                                              "product cr\ntry hfwa watch bolt --once\n"));
  const fs::path out = folder.path() / "out";
  ASSERT_EQ(std::system(absl::StrCat("bash ", check, " > ", out.string()).c_str()), 0);
  const auto lines = Lines(ReadAll(out));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0], "product");
  EXPECT_THAT(lines[1], HasSubstr("create list show update delete"));
  EXPECT_EQ(lines[2], "create");
  EXPECT_EQ(lines[3], "--once-idle");
}

TEST(TextTest, control_characters_and_broken_utf8_are_escaped) {
  EXPECT_EQ(Printable("Sch\xc3\xb6n"), "Sch\xc3\xb6n");
  EXPECT_EQ(Printable("a\nb\x1b[2J\x7f"), "a\\x0ab\\x1b[2J\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m")
      << "C1 control";
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(PadRight("\xc3\xb6", 3), "\xc3\xb6  ");
}

TEST(OverlayTest, picture_is_turned_upright_as_exif_says) {
  // Where the black quarter lies in the upright picture, for orientations 1 to 8.
  const std::vector<std::pair<bool, bool>> right_and_lower{
      {false, false}, {true, false}, {true, true}, {false, true},
      {false, false}, {true, false}, {true, true}, {false, true}};
  for (size_t i = 0; i < right_and_lower.size(); ++i) {
    const char orientation = static_cast<char>(i + 1);
    SCOPED_TRACE(i + 1);
    const uint32_t upright_width = orientation < 5 ? 32 : 16;
    const auto overlay =
        MakeOverlay(QuarterJpeg(orientation), Png(upright_width, 48 - upright_width, 0));
    ASSERT_TRUE(overlay.ok()) << overlay.status();
    uint32_t width = 0;
    uint32_t height = 0;
    const auto pixels = PngPixels(*overlay, width, height);
    ASSERT_EQ(width, upright_width);
    for (const bool right : {false, true}) {
      for (const bool lower : {false, true}) {
        const size_t x = width / 4 + (right ? width / 2 : 0);
        const size_t y = height / 4 + (lower ? height / 2 : 0);
        const bool black = right_and_lower[i] == std::pair(right, lower);
        EXPECT_NEAR(pixels[3 * (y * width + x)], black ? 0 : 140, 10) << x << ", " << y;
      }
    }
  }
}

TEST(OverlayTest, hostile_pictures_are_refused) {
  const std::string heat = Png(2, 2, 0);
  EXPECT_TRUE(absl::IsUnimplemented(MakeOverlay("BM....", heat).status()));
  EXPECT_FALSE(MakeOverlay("", heat).ok());
  EXPECT_FALSE(MakeOverlay("\xff\xd8\xff\xe1", heat).ok());
  EXPECT_FALSE(MakeOverlay(heat.substr(0, heat.size() / 2), heat).ok());
  std::string huge = heat;
  huge[16] = 0x7f;  // Width in IHDR; the checksum no longer fits either.
  EXPECT_FALSE(MakeOverlay(huge, heat).ok());
}

}  // namespace
}  // namespace hfwa::cli
