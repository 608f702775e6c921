#pragma once

// Products and references on disk: what a reply acknowledged survives kill -9 and power loss
// (design section 4). The interface is small so that a second implementation fits.

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/store/method.h"

namespace hfwa::store {

struct Product {
  std::string id;   // [a-z][a-z0-9-]{0,62}
  std::string uid;  // UUID; never used twice
  std::string display_name;
  std::string class_name = "object";
  std::map<std::string, std::string> labels;
  std::optional<double> threshold;  // set by the operator
  double coreset_ratio = 1;         // of the references' patches that the bank keeps, (0, 1]
  Method method = Method::kHfwa;
  int64_t revision = 0;  // of the memory bank; 0 is empty
  int reference_count = 0;
  absl::Time create_time;
  absl::Time update_time;
  std::string etag;
};

struct Reference {
  std::string id;      // "r" and the first 32 digits of sha256
  std::string sha256;  // of the object's bytes, 64 hexadecimal digits
  int64_t size_bytes = 0;
  std::string media_type;
  int width = 0;
  int height = 0;
  std::string source_name;
  absl::Time create_time;
};

// The references that a bank version holds, in order of registration.
struct Revision {
  int64_t number = 0;
  std::vector<Reference> references;
};

// A mutation that may be repeated within 24 h. The outcome is remembered in the mutation's own
// transaction: a repetition with the same fingerprint answers as the first did, with another one
// INVALID_ARGUMENT.
struct Retry {
  std::string request_id;   // empty: not remembered
  std::string fingerprint;  // hash of method and contents
};

struct Page {
  int size = 50;
  std::string after_id;  // exclusive; empty from the start
};

struct ProductPatch {
  std::optional<std::string> display_name;
  std::optional<std::string> class_name;
  std::optional<std::map<std::string, std::string>> labels;
  std::optional<std::optional<double>> threshold;  // inner nullopt clears it
  // Another bank of the same references: makes a revision if it changes.
  std::optional<double> coreset_ratio;
  std::optional<Method> method;  // likewise
  // Of the bank that a change of method makes, as in AddReferences.
  int pictures_max = std::numeric_limits<int>::max();
};

// Thread-safe. Codes: NOT_FOUND (no such product or reference), ALREADY_EXISTS, FAILED_PRECONDITION
// (too many references), ABORTED (etag), RESOURCE_EXHAUSTED (disk full), UNAVAILABLE (I/O error;
// after a failed fsync every further write, see healthy()), DATA_LOSS (damaged).
class Store {
 public:
  virtual ~Store() = default;

  // Fails with ALREADY_EXISTS when the id is taken. `product` carries id, display_name, class_name,
  // labels, threshold, coreset_ratio and method; the rest is filled in.
  virtual absl::StatusOr<Product> CreateProduct(Product product, const Retry& retry) = 0;
  virtual absl::StatusOr<Product> GetProduct(const std::string& id) = 0;
  // By id.
  virtual absl::StatusOr<std::vector<Product>> ListProducts(const Page& page) = 0;
  // An empty etag matches any.
  virtual absl::StatusOr<Product> UpdateProduct(const std::string& id, const ProductPatch& patch,
                                                const std::string& etag, const Retry& retry) = 0;
  virtual absl::Status DeleteProduct(const std::string& id, const std::string& etag,
                                     const Retry& retry) = 0;

  // Puts bytes on disk (temporary name, fsync, rename, fsync of the folder) before it returns their
  // SHA-256. They stay while a reference or an ObjectLease holds them.
  class ObjectLease {
   public:
    virtual ~ObjectLease() = default;
    virtual const std::string& sha256() const = 0;
  };
  virtual absl::StatusOr<std::unique_ptr<ObjectLease>> PutObject(std::string_view bytes) = 0;
  // Checked against the SHA-256: DATA_LOSS when damaged.
  virtual absl::StatusOr<std::string> ReadObject(const std::string& sha256) = 0;

  struct Registration {
    Product product;  // after it
    // For each given reference: the stored one, and whether the product had it before.
    std::vector<Reference> references;
    std::vector<bool> duplicate;
  };
  // Adds references whose objects are leased, and makes revision + 1, in one transaction; if all
  // are duplicates no revision is made. `pictures_max` bounds the pictures of the product's bank:
  // its references times PicturesPerReference. `make_reply` serialises what is remembered under
  // the request id, for FindReply.
  virtual absl::StatusOr<Registration> AddReferences(
      const std::string& product_id, std::vector<Reference> references, int pictures_max,
      const Retry& retry, const std::function<std::string(const Registration&)>& make_reply) = 0;
  virtual absl::StatusOr<Product> DeleteReference(const std::string& product_id,
                                                  const std::string& reference_id,
                                                  const Retry& retry) = 0;
  // In order of registration.
  virtual absl::StatusOr<std::vector<Reference>> ListReferences(const std::string& product_id,
                                                                const Page& page) = 0;
  virtual absl::StatusOr<Reference> GetReference(const std::string& product_id,
                                                 const std::string& reference_id) = 0;
  // All references of the current revision.
  virtual absl::StatusOr<Revision> CurrentRevision(const std::string& product_id) = 0;

  // What AddReferences remembered for this id: nullopt if there was none within 24 h,
  // INVALID_ARGUMENT if its fingerprint was another one.
  virtual absl::StatusOr<std::optional<std::string>> FindReply(const Retry& retry) = 0;

  // OK while writes can be acknowledged; else why not.
  virtual absl::Status healthy() const = 0;
  struct Counts {
    int64_t products = 0;
    int64_t references = 0;
    int64_t object_bytes = 0;
  };
  virtual absl::StatusOr<Counts> Count() = 0;
};

}  // namespace hfwa::store
