"""User profiles in a replay: made by the policy and the producers that run live, and ablated part by part."""
