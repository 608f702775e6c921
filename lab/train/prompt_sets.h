#pragma once

#include <string>
#include <vector>

namespace hfwa::lab::train {

// A class's name as prompts have it: an underscore is a space, no name is "object".
std::string ClassWords(const std::string& class_name);

// The prompt sets of the paper's program (spec 5.5).

// States of learnt contexts: 11 scenes times 4 wordings, state-major, each with its full stop.
std::vector<std::string> SceneStatesNormal();
std::vector<std::string> SceneStatesAnomaly();

// States and templates of fixed prompts.
std::vector<std::string> FixedStatesNormal();   // 7
std::vector<std::string> FixedStatesAnomaly();  // 5
std::vector<std::string> FixedTemplates();      // 35, each with its full stop

}  // namespace hfwa::lab::train
