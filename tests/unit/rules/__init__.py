"""From a service's labels to the file of rules; `promtool` judges what is written."""
