# Only the first run ends by itself, however busy the machine is, until there is "go on".
import os
import time

try:
    os.mkdir(r"{folder}/begun")
except FileExistsError:
    time.sleep(0 if os.path.isdir(r"{folder}/go on") else 120)
