# %% [markdown]
# # The article's listing (5.2), with the fewest corrections
#
# As printed it does not run. Each correction is marked `# corrected:`; everything else stands as in the article,
# with `tensorflow` replaced by `tinymed`.

# %%
# corrected: `pip install python==3.8` installs nothing; Python is installed first, then, in a checkout,
# `pip install -e .`
import matplotlib.pyplot as plt
import numpy as np

import tinymed
from tinymed import keras
from tinymed.data import DataNotFoundError, load_breastmnist, make_breast_phantoms
from tinymed.keras import layers

tinymed.manual_seed(0)  # added, so that two runs agree

# %% 5.2.1 data
# corrected: a table read by pandas cannot go into Conv2D, and the listing has no labels. Here are pictures
# (N,28,28,1) with labels; for pixels in train.csv and test.csv there is tinymed.data.load_csv
try:
    train, test = load_breastmnist("train"), load_breastmnist("test")
except DataNotFoundError as error:
    print(f"{error}\n\nSo GENERATED pictures are used: no patients.")
    train, test = make_breast_phantoms(546, 0), make_breast_phantoms(156, 1)
train_data, train_labels = train.images.permute(0, 2, 3, 1).numpy(), train.labels.numpy()
test_data, test_labels = test.images.permute(0, 2, 3, 1).numpy(), test.labels.numpy()

# corrected: `train_data normalization` is no Python; the loader has scaled the pixels to 0…1
print("pixels from", train_data.min(), "to", train_data.max())

# %% 5.2.2 the model: as printed
model = keras.Sequential(
    [
        layers.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.summary()

# %% 5.2.3 training and evaluation
# corrected: fit needs the labels of the training data
history = model.fit(train_data, train_labels, epochs=10, batch_size=32, validation_data=(test_data, test_labels))
test_loss, test_accuracy = model.evaluate(test_data, test_labels)
print("Test accuracy:", test_accuracy)
# added: an accuracy means little beside nothing
print("Always the more frequent class:", max(np.mean(test_labels == 0), np.mean(test_labels == 1)))

# %% 5.2.4 curves: as printed
plt.plot(history.history["accuracy"])
plt.plot(history.history["val_accuracy"])
plt.title("Model accuracy")
plt.ylabel("Accuracy")
plt.xlabel("Epoch")
plt.legend(["Train", "Test"], loc="upper left")
plt.show()

# %% 5.2.5 prediction: as printed. Noise is no patient, and this is not a clinical device
new_data = np.random.rand(1, 28, 28, 1)
new_prediction = model.predict(new_data)
print("New prediction:", new_prediction)
