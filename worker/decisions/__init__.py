"""Pure decisions on facts: no clock, no call, no await."""
