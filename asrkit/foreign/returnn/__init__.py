"""RETURNN: from the tensors of its frontend's models to a spec, and the rules that rename them."""
