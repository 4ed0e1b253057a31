// SPDX-License-Identifier: Apache-2.0
// The convolutions on tensor cores.
#include "conv.h"
#include "tensor.h"

namespace fastcnn {
namespace cuda {

FASTCNN_CONV_ROWS(2d, tensor, Tensor)
FASTCNN_CONV_ROWS(3d, tensor, Tensor)

}  // namespace cuda
}  // namespace fastcnn
