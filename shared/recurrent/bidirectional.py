"""`keras.layers.Bidirectional` that runs both directions in one loop."""

from typing import Any

import keras

from shared.recurrent.layers import Fused

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class Bidirectional(keras.layers.Bidirectional):
    """A `keras.layers.Bidirectional` whose two layers, if they are ours and alike, share a loop.

    Each step multiplies the states of both directions with both recurrent kernels in one batched product, and computes
    their gates together: half as many steps as two loops in a row. Layers that differ in more than direction and
    weights, or that are stateful, run one after the other, as Keras runs them.
    """

    @property
    def is_fused(self) -> bool:
        """Whether both directions are computed in one loop."""
        layers = self.forward_layer, self.backward_layer
        if not all(isinstance(layer, Fused) and layer.is_fused and not layer.stateful for layer in layers):
            return False
        if any(layer.activity_regularizer or layer.compute_dtype != self.compute_dtype for layer in layers):
            return False
        alike = ("units", "use_bias", "activation", "recurrent_activation", "reset_after", "return_cells")
        one, other = ([getattr(layer, name, None) for name in alike] for layer in layers)
        return type(layers[0]) is type(layers[1]) and one == other and not one[-1]

    def call(self, sequences, initial_state=None, mask=None, training=None):
        if not self.is_fused:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        layers = self.forward_layer, self.backward_layer
        if initial_state is None:
            initial_state = [state for layer in layers for state in layer.get_initial_state(ops.shape(sequences)[0])]
        initial_state = [ops.convert_to_tensor(state, self.compute_dtype) for state in initial_state]
        half = len(initial_state) // 2
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask

        prepared = [layer.time_major(sequences, mask, training) for layer in layers]
        projected = ops.stack([layer.project(inputs) for layer, (inputs, _) in zip(layers, prepared, strict=True)], 1)
        masks = None if mask is None else ops.stack([mask for _, mask in prepared], 1)
        states = [ops.stack(pair) for pair in zip(initial_state[:half], initial_state[half:], strict=True)]
        with layers[0].dropped_weights(training), layers[1].dropped_weights(training):
            pairs = list(zip(*(layer.recurrent_weights() for layer in layers), strict=True))
        weights = [None if pair[0] is None else ops.stack(pair) for pair in pairs]
        states = layers[0].recur(projected, states, masks, weights)  # each (time, 2, batch, units)

        outputs, last_states = [], []
        for direction, (layer, (_, mask)) in enumerate(zip(layers, prepared, strict=True)):
            last, sequence, last_state = layer.batch_major([state[:, direction] for state in states], mask)
            outputs.append(sequence if self.return_sequences else last)
            last_states += last_state
        return self._merged(outputs[0], outputs[1], last_states)

    def _merged(self, forward, backward, states):
        if self.return_sequences:
            backward = ops.flip(backward, 1)
        merge = {
            "concat": lambda: (ops.concatenate([forward, backward], axis=-1),),
            "sum": lambda: (forward + backward,),
            "ave": lambda: ((forward + backward) / 2,),
            "mul": lambda: (forward * backward,),
            None: lambda: (forward, backward),
        }
        outputs: Any = (*merge[self.merge_mode](), *(states if self.return_state else ()))
        return outputs if len(outputs) > 1 else outputs[0]
