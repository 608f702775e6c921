#pragma once

// Between the contract's messages and the engine's types.

#include <string>

#include "core/engine/engine.h"
#include "hfwa/v1/detection_service.pb.h"
#include "hfwa/v1/model_service.pb.h"
#include "hfwa/v1/product_service.pb.h"

namespace hfwa::server {

std::string ProductName(const std::string& product_id);
std::string ReferenceNameOf(const std::string& product_id, const std::string& reference_id);

// HFWA where nothing is said.
store::Method MethodOf(v1::Product::Method method);

// `calibration` is null when it could not be found out: state UNSPECIFIED.
void FillProduct(const store::Product& product, const engine::Calibration* calibration,
                 v1::Product* out);
void FillReference(const std::string& product_id, const store::Reference& reference,
                   v1::Reference* out);
void FillModel(const engine::ModelInfo& model, v1::Model* out);

engine::DetectOutputs OutputsOf(const v1::DetectOutputs& outputs);
// `request` gives product and labels. Takes the maps out of `result`.
void FillDetectResponse(const v1::DetectRequest& request, const std::string& model_digest,
                        engine::DetectResult&& result, v1::DetectResponse* out);

// "good", "anomalous", "unspecified"
const char* VerdictText(engine::Verdict verdict);

}  // namespace hfwa::server
