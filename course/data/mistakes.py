"""The most frequent error of exercises to compute, which `check` names.

For each: which value, the code of the error, and what is said of it. The code runs after
the solution's and sees its names; a number alone is what many read off or remember.
"""

TEXTBOOK = (
    "This is the value for very many dimensions. Compute it from these vectors, to three decimals."
)
STANDARDISE = "Standardise each vector first: subtract its mean, divide by its standard deviation."
PER_VECTOR = "Take κ over the components of each vector, not over the vectors."
ABSOLUTE = "Take absolute values of the cosines before you average, or they cancel."
PAIRED = "This takes the accuracies for independent. Both heads saw the same images: pair them."
ASCENDING = "You kept the least important directions. Sort in descending order."

MISTAKES = {
    "start-1": (
        1, "100 * (0.76 * 0.75)", "Read the dashed line. The slope belongs to logits."),
    "start-6": (
        3, "cosines.mean()", "This is the mean over all cosines. Leave out the diagonal."),
    "origin-7": (
        1, "quieter(images, images)", "Rank the standard deviations of the captions, not theirs."),
    "robustness-2": (
        1, "-1.49 + 0.76 * np.log(0.6 / 0.4)",
         "This is a logit. Turn it back into an accuracy: 1 / (1 + exp(−logit))."),
    "robustness-3": (
        1, "100 * (np.log(0.6 / 0.4) * (1 - 0.76) + 1.49)",
         "This is a difference of logits. ER is a difference of accuracies."),
    "robustness-4": (
        1, "100 * (table[:, 1:] - line(table[:, 1:]))[names == 'ViT-L-14 openai'].mean()",
         "Evaluate the line at the accuracy on ImageNet, not at those on the shifts."),
    "atlas-2": (
        2, "100 * (0.5 - 0.55)", "Each model is compared with the line at its own accuracy."),
    "atlas-3": (
        1, "0.9 - 0.8 * 0.8", "Divide by what each shift has left: √((1 − r₁²)(1 − r₂²))."),
    "atlas-5": (
        1, "(np.abs(imagenet - 0.76) <= 0.01 + 1e-12).sum()",
         "Select the group `pool` as well: these are all models."),
    "outlier-2": (1, "3", TEXTBOOK),
    "outlier-3": (
        1, "((h + 10 * seventh) ** 4).mean()", STANDARDISE),
    "outlier-4": (
        1, "(np.maximum(h, 0) ** 4).mean()", STANDARDISE),
    "outlier-5": (
        2, "(h.argmax(1) == 7).mean()",
         "This is the share of coordinate 7. Which coordinate is dominant most often?"),
    "outlier-6": (
        1, "3", TEXTBOOK),
    "frame-2": (
        1, "100 / 512", "The vectors' own energy is 512, and the addition brings 100 more."),
    "frame-4": (
        2, "kurtosis(turned)", "This is κ of the rotated vectors. Multiply by the eigenvectors."),
    "frame-5": (
        2, "mean_share(h)", "Do even and odd rows have opposite signs?"),
    "frame-6": (
        3, "kurtosis(h - h @ np.linalg.svd(texts - texts.mean(0))[2][:24].T"
            " @ np.linalg.svd(texts - texts.mean(0))[2][:24])",
         "These are the directions along which texts vary most. Take the last rows."),
    "origin-2": (1, "3", TEXTBOOK),
    "origin-3": (
        2, "3 / 5", "This divides by the root of the sum. The second moment is a mean."),
    "origin-4": (
        1, "np.degrees(np.arccos(np.array([3, -4]) @ np.array([3, 4]) / 25))",
         "Compare the two steps in the same axes: rotate the second one back."),
    "bits-2": (
        2, "(np.round(h / (np.abs(h).max() / 7)) == 0).mean()",
         "Each vector has its own step: take the maximum over axis 1."),
    "bits-3": (
        1, "1 / ratio(h, 3)", "The other way round: measured error over expected error."),
    "bits-4": (
        2, "error(turned) / error(h)",
         "The other way round: the error before over the error after."),
    "directions-2": (
        1, "np.linalg.svd(W, full_matrices=False)[1].max()"
            " / np.linalg.svd(W, full_matrices=False)[1].mean()",
         "These are the singular values alone. Multiply each by the mean absolute cosine."),
    "directions-4": (
        1, "(lambda i: i.max() / i.mean())(importance(h + common,"
            " rows - rows.mean(1, keepdims=True)))",
         "Subtract the mean over rows, axis 0: one number for each component."),
    "directions-5": (
        2, "(lambda i: i.max() / i.mean())(importance(images,"
            " captions - captions.mean(1, keepdims=True)))",
         "Subtract the mean over rows, axis 0: one number for each component."),
    "pruning-2": (
        2, "np.var(found)", "This is the variance. Take the root."),
    "pruning-3": (
        1, "np.mean([lost(*one, by_importance(*one)[-7:]) for one in models])", ASCENDING),
    "start-3": (
        1, "cosines.argmax()", "Count the classes from 1."),
    "start-4": (
        2, "76 - 35", "Subtract the line from the accuracy under shift."),
    "concepts-2": (
        1, "np.mean(1 / ranks)",
         "The precision at a rank is the number of images with the concept up to there, over the "
         "rank."),
    "concepts-4": (
        2, "1 / 252", "This is the perfect order alone. Others reach 0.9 as well: list them."),
    "pruning-6": (
        2, "196 * np.sqrt(2 * right(V).mean() * (1 - right(V).mean()) / len(odd))", PAIRED),
    "frame-3": (
        3, "3", TEXTBOOK),
    "concepts-5": (
        1, "1000 * by_chance(10)",
         "Probabilities of events that can happen together do not add up."),
    "indicators-3": (
        2, "correlation(x, y).std()", "Within the first cluster: the first eight columns alone."),
    "indicators-4": (
        1, "0.95", "This is how many robust models are called robust. The question is how many "
         "models that are called robust are."),
    "indicators-6": (
        1, "7 / 12", "A pair with equal values counts one half."),
    "indicators-5": (
        1, "1 / comb(6, 3)", "Count both directions."),
    "lab-2": (
        1, "100 * 0.27 * 0.73 / 364", "This is the variance. Take the root."),
    "lab-5": (
        1, "1 / 216", "Any of the six orders will do, as long as all seeds agree."),
    "probe-3": (
        1, "1.96 * sd / (0.05 * mean)", "This is the root: the number of images is its square."),
    "probe-4": (3, "10", "The error falls with the root of the number of images."),
    "probe-5": (
        1, "n / (1 + m * r)",
         "The design effect has m − 1: an image is not its own neighbour."),
}  # fmt: skip
