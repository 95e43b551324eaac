"""`python -m tinycnn`: what runs here."""

from tinycnn.about import describe

if __name__ == "__main__":
    for name, value in describe().items():
        print(f"{name:>8}  {value}")
