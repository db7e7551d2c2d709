window.companionLite = false;
