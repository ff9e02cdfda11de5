"""Further scores of features: distances, variety, likelihood and rarity of samples, as papers define them."""
