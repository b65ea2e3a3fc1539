//! The Linux nbd driver.
