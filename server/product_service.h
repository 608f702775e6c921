#pragma once

#include "hfwa/v1/product_service.grpc.pb.h"
#include "server/call.h"

namespace hfwa::server {

namespace internal {
using P = v1::ProductService;
// Raw bytes for each method; server/unary.h says why.
using ProductServiceBase =
    P::WithRawCallbackMethod_CreateProduct<P::WithRawCallbackMethod_GetProduct<
        P::WithRawCallbackMethod_ListProducts<P::WithRawCallbackMethod_UpdateProduct<
            P::WithRawCallbackMethod_DeleteProduct<P::WithRawCallbackMethod_AddReferences<
                P::WithRawCallbackMethod_ListReferences<P::WithRawCallbackMethod_GetReference<
                    P::WithRawCallbackMethod_DeleteReference<P::Service>>>>>>>>>;
}  // namespace internal

// Thread-safe.
class ProductService final : public internal::ProductServiceBase {
 public:
  explicit ProductService(const Shared& shared) : shared_(shared) {}

  grpc::ServerUnaryReactor* CreateProduct(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetProduct(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListProducts(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* UpdateProduct(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteProduct(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* AddReferences(grpc::CallbackServerContext* context,
                                                           grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListReferences(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetReference(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteReference(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;

 private:
  const Shared& shared_;
};

// `product` with its calibration, which the engine may have to work out. A failure leaves the state
// UNSPECIFIED: what is stored can be read while the device is down.
void FillCalibratedProduct(const Shared& shared, const store::Product& product, v1::Product* out);

}  // namespace hfwa::server
