// judge SERVER PRODUCT PICTURE GOOD_PICTURE...: registers good parts and judges a picture.

#include <iostream>

#include "client/client.h"

int main(int argc, char** argv) {
  if (argc < 5) return std::cerr << "judge SERVER PRODUCT PICTURE GOOD_PICTURE...\n", 64;
  auto client = hfwa::client::Client::Connect({.target = argv[1]});
  if (!client.ok()) return std::cerr << client.status() << "\n", 1;

  auto product = client->CreateProduct(argv[2]);
  if (!product.ok() && !absl::IsAlreadyExists(product.status())) {
    return std::cerr << product.status() << "\n", 1;
  }
  std::vector<hfwa::client::ReferenceSource> good;
  for (int i = 4; i < argc; ++i) good.push_back({.file = argv[i]});
  auto added = client->AddReferences(argv[2], good);
  if (!added.ok()) return std::cerr << added.status() << "\n", 1;

  auto picture = hfwa::client::ImageFromFile(argv[3]);
  if (!picture.ok()) return std::cerr << picture.status() << "\n", 1;
  auto answer = client->Detect(argv[2], *picture);
  if (!answer.ok()) return std::cerr << answer.status() << "\n", 1;
  std::cout << answer->score() << " " << hfwa::v1::DetectResponse::Verdict_Name(answer->verdict())
            << "\n";
}
