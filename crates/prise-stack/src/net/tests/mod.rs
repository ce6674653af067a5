//! The Internet layer, tried on two hosts and a wire carried by hand.

mod flow_labels;
mod fragments;
mod icmp;
mod ip;
mod neighbors;
mod robustness;
mod transparent;
