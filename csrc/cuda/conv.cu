// SPDX-License-Identifier: Apache-2.0
// The convolutions of every GPU.
#include "conv.h"

namespace fastcnn {
namespace cuda {

FASTCNN_CONV_ROWS(2d, implicit, Generic)
FASTCNN_CONV_ROWS(3d, implicit, Generic)

}  // namespace cuda
}  // namespace fastcnn
