use lsd_librbd as _;
