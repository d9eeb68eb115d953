"""Reference pages made from the models themselves: parameters, layers, REST."""
