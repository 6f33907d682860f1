"""The curves of a training over its epochs, and the table they are drawn from."""

import streamlit as st

from apps.dashboard import charts, sources


def show_curves(source: sources.Source) -> None:
    """Curves and the table they are drawn from."""
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            charts.accuracy(source.epochs),
            config=charts.CONFIG,
            key="accuracy",
            alt="Accuracy of training, validation and test images after each epoch",
        )
    with right:
        st.plotly_chart(
            charts.loss(source.epochs),
            config=charts.CONFIG,
            key="loss",
            alt="Loss of training and validation images after each epoch",
        )
    st.plotly_chart(
        charts.per_digit(source.epochs),
        config=charts.CONFIG,
        key="per_digit",
        alt="Test accuracy of each of the ten digits after each epoch",
    )
    numbers = [record["epoch"] for record in source.epochs]
    table = [sources.weight_statistics(source, entry) for entry in range(len(numbers))]
    tensors = [row["tensor"] for row in table[0]]
    series = {
        key: {t: [row[i][key] for row in table] for i, t in enumerate(tensors)} for key in ("change", "std")
    }
    left, right = st.columns(2)
    with left:
        changes = {name: values[1:] for name, values in series["change"].items()}
        st.plotly_chart(
            charts.over_epochs(numbers[1:], changes, "Change of the weights in an epoch (L2)"),
            config=charts.CONFIG,
            key="change",
            alt="L2 distance of each tensor from the epoch before",
        )
    with right:
        st.plotly_chart(
            charts.over_epochs(numbers, series["std"], "Spread of the weights (standard deviation)"),
            config=charts.CONFIG,
            key="std",
            alt="Standard deviation of each tensor after each epoch",
        )
    show_table(source)


def show_table(source: sources.Source) -> None:
    """Every epoch's losses and accuracies."""
    st.subheader("Every epoch", anchor=False)
    share = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        [{name: record[name] for name in ("epoch", *sources.SCALARS)} for record in source.epochs],
        hide_index=True,
        column_config={
            "epoch": "epoch",
            "loss": st.column_config.NumberColumn("training loss", format="%.4f"),
            "val_loss": st.column_config.NumberColumn("validation loss", format="%.4f"),
            **{
                f"{key}_accuracy": {**share, "label": label.lower()}
                for key, (label, _, _) in charts.SPLITS.items()
            },
        },
        alt="Losses and accuracies of every epoch",
    )
