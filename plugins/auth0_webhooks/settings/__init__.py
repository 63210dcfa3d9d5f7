"""The settings of a route, and the YAML file that holds them."""
