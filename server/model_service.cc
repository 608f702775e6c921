#include "server/model_service.h"

#include "server/convert.h"
#include "server/unary.h"
#include "server/validate.h"

namespace hfwa::server {

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  return StartUnary<v1::GetModelRequest, v1::Model>(
      shared_, "GetModel", context, request, response,
      [this](Call&, const v1::GetModelRequest& in, v1::Model* out) -> absl::Status {
        if (in.name().empty()) return InvalidFields({{"name", "must be models/current"}});
        if (in.name() != "models/current") {
          return ResourceError(reason::kModelNotFound, "hfwa.dev/Model", in.name());
        }
        FillModel(shared_.engine->model(), out);
        return absl::OkStatus();
      });
}

}  // namespace hfwa::server
